"""The one door to the cluster's state: Kubernetes' paths and verbs over a revisioned store.

It refuses to reconcile anything: it validates, stores, serves and streams.
"""
