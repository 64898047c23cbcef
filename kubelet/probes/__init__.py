"""Probes of containers: what is asked, when, and what the answers mean. It ends no container."""
