"""Node hosts on one machine: what a rack would be, made of namespaces, a disk image and a switch.

It boots, breaks and removes machines; it refuses to know anything of Cubernetes, which joins these
machines by the very commands of a real host.
"""
