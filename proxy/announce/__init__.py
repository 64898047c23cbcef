"""Addresses of load balancers, announced to the nodes' network by one node each."""
