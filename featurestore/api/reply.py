"""Call and Reply: argument and result of every handler. Free of frameworks, so that all adapters answer alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from featurestore.api.trace import Trace

JSON = "application/json"
encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Call:
    """One request as an adapter passes it on. ``log_fields`` are logged: never an identifier, value or secret.

    ``idempotency_key``: the header as it was sent, None without one.
    """

    body: bytes
    authorization: str
    now_ms: int
    request_id: str
    trace: Trace
    log_fields: dict[str, Any] = field(default_factory=dict)
    idempotency_key: str | None = None
    headers: dict[str, str] = field(default_factory=dict)  # of the answer, success or problem


class Reply(NamedTuple):
    """One answer, ready to be sent."""

    status: int
    body: bytes
    media_type: str = JSON
    headers: Mapping[str, str] = {}


Handle = Callable[[Call], Reply]
