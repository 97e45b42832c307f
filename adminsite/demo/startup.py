"""Readiness conditions of the demo, and the instructions it prints when they are met."""

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from adminsite.demo.api import ApiClient
from adminsite.demo.credentials import Credentials
from featurestore.config import CODE, ROOT
from featurestore.definitions.simulation import ShownFeatures
from featurestore.installed_catalog import catalog

SHOWN_FEATURES = 5
PYTHON = Path(sys.executable)
COMMAND = (
    f"{PYTHON.relative_to(ROOT) if PYTHON.is_relative_to(ROOT) else PYTHON} manage.py" if ROOT == CODE else "rapport"
)


class ReadyCondition(NamedTuple):
    """A condition that must be met before the demo is ready."""

    name: str
    met: Callable[[], bool]


def ready_conditions(credentials: Credentials, sse_url: str, health_url: str) -> list[ReadyCondition]:
    """The conditions, in the order in which they are usually met."""
    api, sse, streams = (
        ApiClient(credentials.url, credentials.api_key),
        ApiClient(sse_url, ""),
        ApiClient(health_url, ""),
    )
    return [
        ReadyCondition("the API", lambda: api.get("/readyz").status == 200),
        ReadyCondition("event streams", lambda: sse.get("/readyz").status == 200),
        ReadyCondition("the stream worker", lambda: streams.get("/readyz").status == 200),
        ReadyCondition("the first value", lambda: has_values(api, credentials.customers[0])),
    ]


def has_values(api: ApiClient, customer_id: str) -> bool:
    """Whether a read serves values."""
    service = catalog().registry.services[shown_features().service]
    views = api.read_features(customer_id, service.name, service.purpose).body.get("views", {})
    return any(view["status"] == "present" for view in views.values())


def shown_features() -> ShownFeatures:
    """The service and features that the instructions read: those of the catalog's simulation, or the first."""
    simulation = catalog().part("simulation")
    if simulation is not None:
        shown: ShownFeatures = simulation.SHOWN
        return shown
    service = next(iter(catalog().registry.services.values()))
    return ShownFeatures(service.name, tuple(service.defaults())[:SHOWN_FEATURES])


def first_unmet(conditions: list[ReadyCondition], timeout_s: float, stop: threading.Event) -> str | None:
    """Wait for all conditions; the name of the first that is not met in time, None if all are."""
    deadline = time.monotonic() + timeout_s
    for condition in conditions:
        while not condition.met():
            if time.monotonic() > deadline or stop.wait(0.2):
                return condition.name
    return None


def instructions(credentials: Credentials, sse_url: str, environment_file: str, logs: str) -> str:
    """Addresses, credentials and commands to try."""
    shown = shown_features()
    query = {
        "service": shown.service,
        "purpose": catalog().registry.services[shown.service].purpose,
        "customer_id": credentials.customers[0],
        "features": shown.features,
    }
    return f"""
Rapport is running; Ctrl-C stops it.

  Administration   {credentials.url}/admin/   {credentials.login} / {credentials.password}
  API              {credentials.url}/v1/docs
  API key          {credentials.api_key}

Read features; the answer changes from second to second:

  curl -s {credentials.url}/v1/features -H 'Authorization: Bearer {credentials.api_key}' -d '{json.dumps(query)}'

Or follow every change in an event stream:

  curl -sN {sse_url}/v1/features/stream -H 'Authorization: Bearer {credentials.api_key}' -d '{json.dumps(query)}'

Withdraw a consent of {credentials.customers[1]} in the administration and read again: the answer is withheld,
and a stream of that customer ends.
In another terminal: set -a; . {environment_file}; set +a; then {COMMAND} features list | show NAME | read ...
Logs are in {logs}.

"""
