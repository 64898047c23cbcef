"""How containers are run: one small interface, answered by Docker and by a fake alike."""
