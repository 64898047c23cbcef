"""Filters and scores: why a node cannot take a pod, or how good it is; plugin.py has their law."""
