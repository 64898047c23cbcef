"""What the kubelet asks of a container while it lives: its probes, as types and rules."""
