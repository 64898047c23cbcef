"""The kinds of the group networking.k8s.io, and what roads to services have in common."""
