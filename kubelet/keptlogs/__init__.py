"""Logs that outlive their containers: which are kept on this node's disk, and for how long."""
