"""Pulling samples from targets: what they are, when they are asked, and what their answer means."""
