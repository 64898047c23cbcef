"""Verbs about nodes: whether they take pods, and making them empty."""
