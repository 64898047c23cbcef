"""The node's agent: makes the containers of this machine be what the API says, and reports.

It refuses to decide where a pod runs, and what a service is.
"""
