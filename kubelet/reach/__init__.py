"""How other nodes are reached from this one: asked with real packets, told with what blocks."""
