"""Probe of a container's health: ``python -m featurestore.health_probe PORT`` ends with 0 if /healthz answers 200.

A program of its own because podman 4 splits a check's arguments at their spaces.
"""

import sys
from http.client import HTTPConnection

TIMEOUT_S = 2


def is_alive(port: int) -> bool:
    """Whether the health page at a port of this machine answers 200 in time."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(int(sys.argv[1])) else 1)
