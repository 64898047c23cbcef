"""OpenAPI v3: what the API takes and gives, told by the models and by the table of routes alone.

Kubernetes' v2 is not served: those who still need it (kubectl before 1.27) want it as protobuf.
"""
