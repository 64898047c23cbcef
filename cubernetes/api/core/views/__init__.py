"""Kinds of the core group that are not stored: made of others, or found when somebody asks."""
