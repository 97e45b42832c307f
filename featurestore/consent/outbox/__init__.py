"""Outbox of permission changes: rows of PermissionChange, published to the store and, as purges, sent to the streams.

Read ``publication.py`` (from rows to the store; services call it after their commit), then ``purge_producer.py`` (the
Kafka topic), then ``relay.py`` (Celery: finishes what a service could not).
"""
