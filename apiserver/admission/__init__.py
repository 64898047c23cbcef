"""What becomes of an object on its way in: stamps, defaults, rules. All of it is pure."""
