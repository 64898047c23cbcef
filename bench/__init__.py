"""Measurements of Cubernetes: one command for each subject, figures printed as JSON."""
