"""What a shell offers behind a command line that is being typed, and programs that add verbs."""
