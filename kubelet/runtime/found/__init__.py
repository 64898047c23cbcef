"""What containers are found to be: by the engine's word, and by the machine's."""
