"""The time-series store: samples in, PromQL out, Prometheus' interfaces, its own file format.

It imports cubernetes.host and nothing else of ours, and refuses to know any kind of object.
"""
