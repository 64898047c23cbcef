"""What lies on the disk: the log, blocks, checkpoints, and the store that keeps them."""
