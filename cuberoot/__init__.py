"""Turns machines into a cluster, and back: init, join, start, stop, status, reset, token, lab.

It refuses to do anything the programs do: it writes their settings, starts them and looks.
"""
