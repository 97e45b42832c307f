"""The process of event streams: ``python -m adminsite.sse [--port 8002]``, by Granian.

SIGHUP exchanges it, SIGTERM and SIGINT end it; every stream is closed with its reason before
(featurestore.api.sse.asgi_adapter). A connection
is no thread here. There are more of them than streams are allowed, so that whoever is too many is told so.
"""

from granian.constants import Interfaces
from granian.server.mp import MPServer

from adminsite.serve import options, parser_of
from featurestore.config import settings

SPARE_CONNECTIONS = 512
STOP_S = 10  # streams are told at once; who doesn't listen is not waited for


def main() -> None:
    asked = parser_of("adminsite.sse", __doc__, 8002).parse_args()
    connections = settings().sse_streams + SPARE_CONNECTIONS
    MPServer(
        "adminsite.asgi:application",
        interface=Interfaces.ASGI,
        backlog=connections * asked.workers,
        **options(asked, connections, STOP_S),
    ).serve()


if __name__ == "__main__":
    main()
