"""Another engine of Prometheus' kind: samples are sent there, old ones are asked for there."""
