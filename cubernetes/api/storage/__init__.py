"""The kinds of the group storage.k8s.io, and what claims ask of volumes."""
