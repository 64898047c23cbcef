"""What nodes and pods use: asked of the kubelets when somebody asks, and kept nowhere."""
