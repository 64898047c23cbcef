"""Kinds of metrics.k8s.io: what nodes and pods use; and what names of other metrics mean."""
