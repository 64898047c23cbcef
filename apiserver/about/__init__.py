"""What the server tells of itself: versions, groups and resources, health, metrics, OpenAPI."""
