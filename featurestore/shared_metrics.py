"""Registry of the metrics that are read from what all processes share: the database, the control Redis.

Whichever process is asked answers them, once; the metrics of each process are in prometheus_client's own registry. A
gauge of the wrong registry would be answered by every process behind a port, as of when each was asked last.
"""

from prometheus_client import CollectorRegistry

SHARED = CollectorRegistry()
