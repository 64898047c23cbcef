"""The verbs of the API, the same for every kind."""
