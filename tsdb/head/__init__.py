"""The samples that are not yet in a block, in memory."""
