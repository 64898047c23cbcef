"""What the kubelet asks of a container while it lives: probes, and hooks at its start and end."""
