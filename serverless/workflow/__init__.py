"""Runs of workflows: facts in a topic, a state that follows from them, and what is to be done."""
