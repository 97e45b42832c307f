"""Privacy operations: the audit of the store against the database, and its findings."""
