"""Deployments: pods of one template, exchanged for those of the next without an interruption."""
