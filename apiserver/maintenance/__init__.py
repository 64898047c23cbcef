"""What the server does without being asked: the first objects, and the upkeep of the store."""
