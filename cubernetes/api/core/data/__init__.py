"""What ConfigMaps and Secrets hold: which keys and values are right."""
