"""The bus: topics of records that outlive every process; Kafka's, and one in memory."""
