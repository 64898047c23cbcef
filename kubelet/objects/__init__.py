"""What pods need of other objects: ConfigMaps, Secrets and services, read, kept and turned."""
