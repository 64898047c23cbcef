"""How a machine resolves names: its resolv.conf, read as data."""
