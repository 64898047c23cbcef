"""Services to nf_tables maps: compiled service by service, and what differs is written."""
