"""Objects to bytes and back, the rules of a kind's fields, and how a refusal of an object reads."""
