"""Kinds of autoscaling: how many replicas there should be, by what they use."""
