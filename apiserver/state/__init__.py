"""The state in memory and in the store: how it is read, watched, and written by transactions."""
