"""Kinds of scheduling.k8s.io/v1: how much pods matter."""
