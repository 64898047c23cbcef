"""nginx: its configuration as text, and the container that it runs in."""
