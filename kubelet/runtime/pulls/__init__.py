"""Images that Docker fetches: one pull for all who ask, and how far it is."""
