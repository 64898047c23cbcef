"""Which objects a command line means: from files, from arguments; judged, and waited for."""
