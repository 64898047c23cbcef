"""Machines: which are silent, what a taint ends, which addresses each gives to its pods."""
