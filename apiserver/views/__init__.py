"""Kinds that are shown and not stored: each is made of stored ones. One file a view."""
