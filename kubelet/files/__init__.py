"""Files of volumes that are made from objects: which they are, and how they are written whole."""
