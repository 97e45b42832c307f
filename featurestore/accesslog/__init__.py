"""Access log: which client read which customer, for what purpose, when. One access record for each customer and read.

In reading order, which is the way of a record:

- ``batches``: what processes send, as msgpack.
- ``writer``: AccessLogWriter, in each process that answers reads: queues records and sends them in batches.
- ``stream``: the Redis stream of batches, in the control Redis.
- ``consumer``: writes the stream's batches into the database, once each, finds gaps, and deletes old records.
- ``models``: access records, their read contexts, the processes that write, gaps.
- ``selectors``: gaps and the state of the stream. ``metrics``: both, for Prometheus. ``admin``: both, with the records.
- ``tasks``: Celery's part.
"""
