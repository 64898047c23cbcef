"""The gateway: hosts and paths of HTTP lead to services, by nginx in a container of this node.

It refuses to know pods and nodes: what leads where is said by Ingresses and Dnses.
"""
