"""The gateway: calls by HTTP, held until there is an instance for them, and its answers."""
