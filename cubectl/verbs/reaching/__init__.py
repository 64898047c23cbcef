"""Verbs that reach into pods, over streams of their own."""
