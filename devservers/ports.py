"""A port that nobody uses at this moment, and that the kernel gives nobody unasked.

A server that is killed and started again must find its port free: those that the kernel chooses for connections and
for port 0 may be taken meanwhile.
"""

import random
import socket

OURS = range(10_000, 22_000)
"""Below what kernels choose from, and so are the ports of clusters' buses, which lie 10,000 above."""


def free_port() -> int:
    while not is_free(port := random.choice(OURS)):
        pass
    return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
