"""What a namespace's own rules make of new objects, and what they refuse."""
