"""The outbox of permission changes: published to the store, sent to the streams, retried until done."""
