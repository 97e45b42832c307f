"""Free ports outside of the kernel's ephemeral range.

A server that is killed and restarted needs its port again; an ephemeral one may be taken meanwhile by any connection.
"""

import random
import socket

PORTS = range(10_000, 22_000)
"""Below the ephemeral range, and so are the bus ports of Redis Cluster, 10,000 above."""


def free_port() -> int:
    while not is_free(port := random.choice(PORTS)):
        pass
    return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
