"""Where a pod's spec says that it may run: types, what makes them legal, and what they match."""
