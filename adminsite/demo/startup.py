"""The demo's first words: once everything answers, where to look and what to type."""

import json
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from adminsite.demo.api import Api
from adminsite.demo.credentials import Credentials

SERVICE, PURPOSE = "sales_chat", "personalisation"
FEATURES = ("seconds_since_visit", "page_views_5m", "viewed_categories_1h", "cart_intent", "cart_last_sku")


class Awaited(NamedTuple):
    """Something that must be so before the demo is ready."""

    name: str
    met: Callable[[], bool]


def awaited(known: Credentials, sse_url: str, health_url: str) -> list[Awaited]:
    """What the demo waits for, in the order in which it comes."""
    api, sse, streams = Api(known.url, known.api_key), Api(sse_url, ""), Api(health_url, "")
    return [
        Awaited("the API", lambda: api.get("/readyz").status == 200),
        Awaited("event streams", lambda: sse.get("/readyz").status == 200),
        Awaited("the stream worker", lambda: streams.get("/readyz").status == 200),
        Awaited("the first fresh answer", lambda: fresh(api, known.customers[0])),
    ]


def fresh(api: Api, customer_id: str) -> bool:
    """Whether a read brings values."""
    views = api.read(customer_id, SERVICE, PURPOSE).body.get("views", {})
    return any(view["status"] == "present" for view in views.values())


def wait(conditions: list[Awaited], timeout_s: float, stop: threading.Event) -> str | None:
    """The name of what has not come in time; None when all is there."""
    deadline = time.monotonic() + timeout_s
    for condition in conditions:
        while not condition.met():
            if time.monotonic() > deadline or stop.wait(0.2):
                return condition.name
    return None


def welcome(known: Credentials, sse_url: str, environment_file: str, logs: str) -> str:
    """Where to look and what to type."""
    question = {
        "service": SERVICE,
        "purpose": PURPOSE,
        "customer_id": known.customers[0],
        "features": FEATURES,
    }
    return f"""
Rapport is running; Ctrl-C stops it.

  Administration   {known.url}/admin/   {known.login} / {known.password}
  API              {known.url}/v1/docs
  API key          {known.api_key}

Ask again and again, the answer changes from second to second:

  curl -s {known.url}/v1/features -H 'Authorization: Bearer {known.api_key}' -d '{json.dumps(question)}'

Or be told of each change, without asking again:

  curl -sN {sse_url}/v1/features/stream -H 'Authorization: Bearer {known.api_key}' -d '{json.dumps(question)}'

Withdraw consent of {known.customers[1]} in the administration, and ask for it: the next answer is withheld
(and a stream ends).
In another terminal: set -a; . {environment_file}; set +a; then manage.py features list | show NAME | read ...
Logs are in {logs}.

"""
