"""Answers to questions about the cluster's names: compiled from objects, packed as bytes. Pure."""
