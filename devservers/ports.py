"""Free ports outside of the kernel's ephemeral range.

A server that is killed and restarted needs its port again; an ephemeral one may be taken meanwhile by any connection.
"""

import random
import socket
from collections.abc import Iterator
from itertools import cycle

PORTS = range(10_000, 22_000)
"""Below the ephemeral range, and so are the bus ports of Redis Cluster, 10,000 above."""


def shuffled(ports: range) -> Iterator[int]:
    return cycle(random.sample(ports, len(ports)))


_candidates = shuffled(PORTS)


def use_share(number: int, of: int) -> None:
    """Divide the ports among processes: a port that one has chosen is free until its server binds it."""
    global _candidates
    _candidates = shuffled(PORTS[number::of])


def free_port() -> int:
    """A free port that this process has not got before, while there are any."""
    return next(port for port in _candidates if is_free(port))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
