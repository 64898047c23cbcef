"""Certificates: which Secrets are followed, whether a pair is good, and the gateway's own one."""
