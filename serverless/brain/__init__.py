"""The brain: which instances there should be, and which revision each has loaded."""
