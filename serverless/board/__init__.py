"""What is known of calls: which wait, which run and where, and how much is needed. Pure."""
