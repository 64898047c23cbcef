"""Observe, plan, execute: the loop under every controller, and how a leader keeps its right to act.

It refuses to know any kind's rules: what to do is a pure function that each controller brings.
"""
