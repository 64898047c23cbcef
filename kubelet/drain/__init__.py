"""How a pod's containers serve on while callers are still led to them. It stops nothing itself."""
