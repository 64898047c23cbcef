"""Kinds of batch/v1: work that comes to an end, once or by a schedule."""
