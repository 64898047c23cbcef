"""The HTTP of the API server: connections, who is behind them, and the way on to the kubelets."""
