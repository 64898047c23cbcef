"""What a whole cluster is asked at once, from the control plane."""
