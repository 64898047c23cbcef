"""The service proxy: cluster IPs answered from ready pods, on every node.

It refuses to know pods, nodes or health: it carries out what Services and EndpointSlices say.
"""
