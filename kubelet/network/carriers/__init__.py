"""What carries pods' packets between nodes, apart from how a pod is wired to its own node."""
