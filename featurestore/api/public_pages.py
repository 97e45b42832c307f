"""Public pages: answered without a key and under any Host header, for probes by address, Prometheus and tools.

A probe of Kubernetes or a load balancer names the process by its address, and Prometheus by a name of the inner
network; neither is among RAPPORT_ALLOWED_HOSTS. No answer of these pages depends on the Host header. Each is cheap
(featurestore.api.recent_reply), and each address may send PER_S of these requests a second to a process.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve

from featurestore.api.django_adapter import respond_to
from featurestore.api.errors import TooOften
from featurestore.api.reply import Call, Reply

PER_S = 100
UNLIMITED = "/healthz"
PATHS = frozenset({UNLIMITED, "/readyz", "/metrics", "/v1/openapi.json", "/v1/docs", "/"})


class AddressLimit:
    """Limit of the requests of each address in a second of the clock. Shared among threads."""

    def __init__(self, per_s: int = PER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_s, self._clock = per_s, clock
        self._second, self._counts, self._lock = 0, Counter[str](), threading.Lock()

    def admits(self, address: str) -> bool:
        """Count a request; whether it is within the limit."""
        with self._lock:
            second = int(self._clock())
            if second != self._second:
                self._second, self._counts = second, Counter()
            self._counts[address] += 1
            return self._counts[address] <= self.per_s


limit = AddressLimit()


class PublicPages:
    """Middleware that answers the public pages of the URL configuration before the Host header is checked."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path not in PATHS:
            return self.get_response(request)
        try:
            view = resolve(path).func
        except Resolver404:
            return self.get_response(request)  # of another part, which another process serves
        if path != UNLIMITED and not limit.admits(request.META.get("REMOTE_ADDR", "")):
            return respond_to(request, too_often, "public")
        response: HttpResponse = view(request)
        response.headers.setdefault("Content-Length", str(len(response.content)))
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("X-Frame-Options", "DENY")
        return response


def too_often(call: Call) -> Reply:
    raise TooOften
