"""The kinds of the group networking.k8s.io, and how hosts and paths are written."""
