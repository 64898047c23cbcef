"""The HTTP face of the store: Prometheus' API, remote write, text push. It decides nothing."""
