"""Kafka, Redis and PostgreSQL as processes of this machine, for the demo, tests and measurements."""
