"""The process of event streams: ``python -m adminsite.sse [--port 8002]``, by Granian.

SIGHUP exchanges it, SIGTERM and SIGINT end it; every stream is told before (featurestore.api.sse.door). A connection
is no thread here. There are more of them than streams are allowed, so that whoever is too many is told so.
"""

import argparse

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.mp import MPServer

from adminsite.serve import HEADERS_BYTES, HEADERS_MS
from featurestore.config import settings
from featurestore.logs import configuration

SPARE_CONNECTIONS = 512
STOP_S = 10  # streams are told at once; who doesn't listen is not waited for


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m adminsite.sse", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--workers", type=int, default=1, help="processes; the limits of streams hold for each")
    asked = parser.parse_args()
    connections = settings().sse_streams + SPARE_CONNECTIONS
    loggers = {name: {"level": "INFO", "propagate": True} for name in ("_granian", "granian.access")}
    MPServer(
        "adminsite.asgi:application",
        address=asked.host,
        port=asked.port,
        workers=asked.workers,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=connections * asked.workers,
        backpressure=connections,
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_MS, max_buffer_size=HEADERS_BYTES),
        log_dictconfig=configuration(settings().log_level, loggers),
        workers_kill_timeout=STOP_S,
        respawn_failed_workers=True,
    ).serve()


if __name__ == "__main__":
    main()
