"""What the server tells: versions, groups, health, OpenAPI; its counts, and its audit."""
