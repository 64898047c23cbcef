"""Turns machines into a cluster, and back: init, join, start, renew, reset and more.

It refuses to do anything the programs do: it writes their settings, starts them and looks.
"""
