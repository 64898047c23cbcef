"""The command line of a cluster: verbs on objects, for people and scripts.

It refuses to be clever: what it prints is what the API server said, and it decides nothing.
"""
