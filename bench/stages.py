"""Microseconds of each stage of a read, in one process without a server: the best of several rounds.

Run by bench.serving beside its servers; the store's round trip includes waiting.
"""

import io
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from adminsite.wsgi import application  # first: it sets Django up
from bench import served_customers
from bench.contestants.http_servers import KEY
from featurestore.accesslog.writer import access_log_writer
from featurestore.api import auth, metrics
from featurestore.api.handler import FEATURE_REQUEST, feature_handler
from featurestore.api.reply import Call, encode
from featurestore.api.request_cycle import request_id_of
from featurestore.api.trace import trace_of
from featurestore.identity import subject_of
from featurestore.logs import request_log
from featurestore.serving import reader as reading

ROUNDS, CALLS = 20, 200


def best_us(act: Callable[[int], object]) -> float:
    """Microseconds a call, in the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for number in range(CALLS):
            act(number)
        best = min(best, time.perf_counter() - began)
    return best / CALLS * 1e6


def stages(key: str) -> dict[str, float]:
    """Each stage by itself, and the whole by the fast path."""
    found, names = feature_handler(), served_customers.customers(100)
    bodies = [body_for(name) for name in names]
    subjects = [subject_of(name, found.secret) for name in names]
    service, chosen = found.services[served_customers.SERVICE], frozenset(served_customers.FEATURES)
    now_ms, credential = int(time.time() * 1000), f"Bearer {key}"
    plan = reading._plan(service, served_customers.PURPOSE, chosen)
    watermarks = [(source, 0) for source in plan.sources]
    stored = {subject: found.reader.store.read([subject], plan.fields, watermarks, 1_000) for subject in subjects}

    class MemoryReads:
        """The store, as fast as memory."""

        def read(self, asked: list[str], *_: Any) -> Any:
            return stored[asked[0]]

    def call(number: int) -> Call:
        return Call(bodies[number % 100], credential, now_ms, request_id_of(None), trace_of(None))

    def environ(number: int) -> dict[str, Any]:
        body = bodies[number % 100]
        return {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/v1/features", "CONTENT_LENGTH": str(len(body)),
            "HTTP_AUTHORIZATION": credential, "HTTP_HOST": "localhost", "wsgi.input": io.BytesIO(body),
        }  # fmt: skip

    def read(reader: Any, number: int) -> Any:
        asked = [subjects[number % 100]]
        return reader.read(service, served_customers.PURPOSE, asked, now_ms=now_ms, timeout_ms=1_000, features=chosen)

    def start_response(*_: object) -> None:
        """Ignore status and headers."""

    in_memory, holder, answer = (
        reading.FeatureReader(MemoryReads(), 1),
        auth.authenticate(call(0)),
        read(found.reader, 0),
    )  # type: ignore[arg-type]
    line = {"route": "features", "status": 200, "ms": 1.0, "request_id": "0" * 32, "client": "bench"}
    return {
        "ids_and_trace": best_us(call),
        "authentication_and_rate_limit": best_us(lambda i: auth.authenticate(call(i))) - best_us(call),
        "body": best_us(lambda i: FEATURE_REQUEST.decode(bodies[i % 100])),
        "pseudonym": best_us(lambda i: subject_of(names[i % 100], found.secret)),
        "round_trip_to_redis": best_us(
            lambda i: found.reader.store.read([subjects[i % 100]], plan.fields, watermarks, 1_000)
        ),
        "guard_and_windows": best_us(lambda i: read(in_memory, i)),
        "json": best_us(lambda i: encode(answer[0])),
        "access_record": best_us(
            lambda i: access_log_writer().add_read(holder, "s", "p", [subjects[0]], answer, now_ms, "0" * 32)
        )
        + best_us(lambda i: access_log_writer().add_request("bench", "features", 200)),
        "metrics": best_us(lambda i: metrics.count_request("features", 200, 0.001))
        + best_us(lambda i: metrics.count_views("s", "p", answer)),
        "log_line": best_us(lambda i: request_log.add(line)),
        "whole_read_without_server": best_us(lambda i: application(environ(i), start_response)),
    }


def body_for(name: str) -> bytes:
    question = {
        "service": served_customers.SERVICE,
        "purpose": served_customers.PURPOSE,
        "features": served_customers.FEATURES,
    }
    return json.dumps(question | {"customer_id": name}).encode()


if __name__ == "__main__":
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the log
    print(json.dumps(stages(os.environ[KEY])))
    sys.stdout.flush()
    os._exit(0)
