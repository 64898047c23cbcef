"""Who is next: requests, bodies and watches take turns by user."""
