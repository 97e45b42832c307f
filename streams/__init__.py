"""Stream workers, on Faust: they fold events into tables and push the values to the online store.

In reading order:

- ``__main__``, ``worker``, ``faust_options``, ``app``: the command line, the process, Faust's settings, the Faust app
- ``member``: which member of the consumer group a worker is
- ``wiring``: which parts a worker's pipeline has
- ``fetch_batches``, ``transport``: all records of a fetch as one Faust message; offsets, and what rebalances drop
- ``partition_queues``: queues of fetch batches, emptied in micro-batches
- ``processing``, ``coverage``: a micro-batch, from permissions to fields in the store; from when on a view counts
- ``retrying_store``: the online store, as the streams call it
- ``tables``, ``table_stores``: the state tables, and the bytes in them
- ``compaction``, ``table_folders``: what was purged leaves the tables' files
- ``segment_ends``: and the changelogs, also of partitions that nobody writes to
- ``changelog``, ``lease``, ``clock_check``: the durable changes, and why a replaced worker cannot write any
- ``recovery``: tables read back from their changelogs
- ``freshness``, ``watermarks``: the time up to which a partition is folded; its publication to readers
- ``evictions``: idle subjects, whose values the store need not have
- ``republisher``, ``republish_command``: all values pushed again, after a loss or by command
- ``topic_check``, ``topic_watch``, ``partition_purge``: topics that were made anew; purges that may be lost
- ``dead_letters``: records that cannot be folded
- ``topics``, ``embedded``: topics as code, and the demo's broker
- ``health``, ``metrics``, ``process_end``: probes, metrics, and the end of a process on an error

docs/decisions/faust-traps.md numbers what broke on Faust, and the cures.
"""
