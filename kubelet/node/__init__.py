"""This machine in the API: its Node object, its Lease, and what it has."""
