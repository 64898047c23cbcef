"""Files that survive a crash, and files that are believed only whole."""
