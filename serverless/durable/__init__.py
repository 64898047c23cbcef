"""Calls that must survive: accepted once the bus has them, run at least once, answered once."""
