"""Triggers: records of topics and times of schedules become calls that survive."""
