"""Local servers as child processes: Kafka, Redis, PostgreSQL and whole installations, for demo, tests and bench."""
