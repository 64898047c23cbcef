"""What is removed when it has no use any more: dependents, namespaces, old events."""
