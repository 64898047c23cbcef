"""The kinds of the core group, and what only they need."""
