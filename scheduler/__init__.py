"""The scheduler: it follows the API, decides by cubernetes.scheduling, and binds.

Refused here: preemption, and any write that changes nothing.
"""
