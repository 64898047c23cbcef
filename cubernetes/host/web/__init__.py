"""HTTP/1.1 for every server of ours: connections, deadlines, limits, and what a program exports."""
