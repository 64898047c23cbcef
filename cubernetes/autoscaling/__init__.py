"""How many replicas there are: one engine, what it has decided, and what it would have. Pure."""
