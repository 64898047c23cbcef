"""What `get` prints of kinds that have much to tell."""
