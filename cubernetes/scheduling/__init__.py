"""Which node takes a pod, and why others do not: decisions on a snapshot, without any effect.

plan.py decides; plugin.py has the law of filters and scores. The scheduler acts on it, and the
command line asks it what would be.
"""
