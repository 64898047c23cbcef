"""What balancers outside ask of this node: whether it has an endpoint of a service."""
