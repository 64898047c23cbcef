"""The words of the cluster: every kind of object, its rules, and how it looks on the wire.

It refuses every effect: nothing here reads a clock, a file or a socket.
"""
