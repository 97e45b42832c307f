"""Events on their way into the system: producers to Kafka, and the dead letters that the streams quarantine."""
