"""Where readings come from: one adapter for each source. They alone touch the world here."""
