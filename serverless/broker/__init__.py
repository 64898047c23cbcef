"""Our own Kafka: one broker in KRaft mode, with bounds, for clusters that have none."""
