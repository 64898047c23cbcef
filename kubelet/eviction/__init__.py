"""Which pods end, and why: where this node is short of something, or a pod takes too much."""
