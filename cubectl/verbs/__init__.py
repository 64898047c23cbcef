"""One file a verb: its arguments, and what it asks of the API. They refuse to know each other."""
