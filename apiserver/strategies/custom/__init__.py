"""Strategies of kinds that are defined in the cluster, and of their definitions."""
