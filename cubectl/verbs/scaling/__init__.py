"""What autoscalers have decided, why, and what others would have: told, and drawn."""
