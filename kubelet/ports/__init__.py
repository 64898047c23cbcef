"""Ports of this node that lead to pods, and rules that are kept."""
