"""A port that nobody uses at this moment, and that the kernel gives nobody unasked.

A server that is killed and started again must find its port free: those that the kernel chooses for connections and
for port 0 may be taken meanwhile.
"""

import random
import socket

OURS = range(20_000, 32_000)  # below what Linux chooses from, and macOS and Windows too


def free_port() -> int:
    while True:
        port = random.choice(OURS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
