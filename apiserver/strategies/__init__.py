"""What one kind asks for beyond the verbs: one file a kind."""
