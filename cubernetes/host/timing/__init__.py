"""How long to wait: pauses between attempts, events with a deadline, the time of short programs."""
