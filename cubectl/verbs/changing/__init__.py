"""Verbs that change objects by less than a whole manifest, or make one from another."""
