"""What is decided about a pod, pure: what to do next, what to remember, what to report."""
