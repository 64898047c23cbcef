"""The resolver: names of services and pods answered on every node, other names forwarded.

It refuses to know pods, health and rules of the packet filter: it answers what Services,
EndpointSlices and Namespaces say.
"""
