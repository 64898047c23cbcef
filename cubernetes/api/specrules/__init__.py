"""Rules that the specs of several kinds share."""
