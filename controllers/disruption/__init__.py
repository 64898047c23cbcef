"""Disruption budgets: how many pods may be evicted at once without harm."""
