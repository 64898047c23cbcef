"""Strategies of what runs to an end: jobs of pods, and of GPUs."""
