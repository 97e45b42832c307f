"""Process of event streams: ``python -m adminsite.sse [--port 8002]``, served by Granian.

SIGHUP replaces it, SIGTERM and SIGINT end it; every stream is closed with its reason before
(featurestore.api.sse.asgi_adapter). A connection needs no thread. More connections than streams are accepted, so that
a client over the limit gets an answer.
"""

from granian.constants import Interfaces

from adminsite.serve import SharedSocketServer, options, parser_of
from featurestore.config import settings

SPARE_CONNECTIONS = 512
STOP_S = 10  # streams are closed at once; a client that does not read is not waited for


def main() -> None:
    arguments = parser_of("adminsite.sse", __doc__, 8002).parse_args()
    connections = settings().sse_streams + SPARE_CONNECTIONS
    SharedSocketServer(
        "adminsite.asgi:application",
        interface=Interfaces.ASGI,
        backlog=connections * arguments.workers,
        **options(arguments, connections, STOP_S),
    ).serve_with_metrics()


if __name__ == "__main__":
    main()
