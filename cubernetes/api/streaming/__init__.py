"""Streams beside the API: what is asked of a command in a container, and what travels then."""
