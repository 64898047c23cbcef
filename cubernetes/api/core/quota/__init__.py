"""What an object uses of a quota."""
