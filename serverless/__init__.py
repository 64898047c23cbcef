"""Functions: Python that is called by HTTP, and has instances while there are calls."""
