"""The scheduler: which node runs a pod, round robin over the best that pass every filter.

plan.py decides on a snapshot; run.py follows the API and binds; plugin.py has the law of filters
and scores. Refused here: preemption, and any write that changes nothing.
"""
