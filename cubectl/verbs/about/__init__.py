"""Verbs that tell of the cluster itself: its kinds, its versions, and what happened."""
