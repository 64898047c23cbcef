"""The packet filter of this machine: rules as data, applied, and what its flows remember."""
