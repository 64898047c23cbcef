"""Images of this node: with which logins they are fetched, how many at a time, how far they are."""
