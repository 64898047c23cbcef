"""Kubernetes' Pod Security Standards: what each level forbids, and what a namespace asks for."""
