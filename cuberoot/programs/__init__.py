"""One file a program: its settings, certificates and ports. registry.py lists them."""
