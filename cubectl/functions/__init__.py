"""Verbs of functions: they speak with the functions' program beside the API server."""
