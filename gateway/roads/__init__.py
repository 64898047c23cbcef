"""From objects to a model: which host and path leads to which upstream. Pure."""
