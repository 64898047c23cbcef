"""Services to packet filter rules: compiled by a pure function, applied in one transaction."""
