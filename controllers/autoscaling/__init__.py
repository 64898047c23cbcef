"""How many replicas there are: decided by what pods use, as stores of samples tell it."""
