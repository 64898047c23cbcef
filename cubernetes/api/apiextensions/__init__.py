"""The group apiextensions.k8s.io: kinds that are defined in the cluster."""
