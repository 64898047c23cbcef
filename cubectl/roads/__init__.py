"""What administrators do with the roads of gateways."""
