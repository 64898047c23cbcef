"""Requests handed on to pods, services and nodes: to what, with which head, and how it answers."""
