"""One node host: its namespaces, file tree, disk, limits, and what runs in it."""
