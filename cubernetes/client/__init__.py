"""The one way to talk to the API server: typed calls, watches, and caches that follow them.

It refuses to decide anything: it reports what happened, outcome unknown included.
"""
