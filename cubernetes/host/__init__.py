"""The ground: clock, randomness, commands, files, logs and settings behind small interfaces.

It refuses to know any kind of object, any program, and the network.
"""
