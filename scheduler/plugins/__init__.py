"""Filters: each says why a node cannot take a pod, or nothing; registry.py lists them."""
