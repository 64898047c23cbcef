"""Strategies of the kinds that say who may do what."""
