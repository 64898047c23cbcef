"""Sets whose pods have places of their own: by number, or by node."""
