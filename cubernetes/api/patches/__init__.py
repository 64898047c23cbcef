"""What a change makes of a tree: JSON patch, merge patches, and three-way apply. Pure."""
