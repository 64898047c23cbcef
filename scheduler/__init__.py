"""The scheduler: which node runs a pod, round robin over those that pass every filter.

plan.py decides on a snapshot; run.py follows the API and binds. Refused here: scores, preemption,
and any write that changes nothing.
"""
