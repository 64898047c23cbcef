"""What a pod's spec says: its parts as types below, their rules above. It knows no status."""
