"""Check of one event before it is written: as the streams will check it."""

from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec

from featurestore.api.body import BodyDecoder, Identifier, Name, full_match, subject_at
from featurestore.api.errors import EventTimeRefused, Malformed
from featurestore.definitions import InvalidEvent
from featurestore.definitions.source import ms_of
from featurestore.definitions.windows import MAX_CLOCK_SKEW_S
from featurestore.ingest.acknowledged_writer import EncodedEvent
from featurestore.installed_catalog import catalog
from featurestore.tiles.deduplication import DEDUPLICATION_SPAN_S

MAX_AGE_S = (DEDUPLICATION_SPAN_S // 86_400 - 1) * 86_400
"""A day less than the deduplication window, which recognises a repeat unless 1,024 newer events came between."""

WRITABLE = {name: source for name, source in catalog().registry.sources.items() if source.writable}


class EventFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Fields of every event: its customer, id and time."""

    customer_id: Identifier
    id: Annotated[
        str,
        full_match(
            r"[!-~]{1,128}",
            "1 to 128 printable ASCII characters without spaces",
            "Your own id of the event, the same when you send it again. It must identify no person.",
        ),
    ]
    time: Annotated[datetime, msgspec.Meta(tz=True, description="When it happened, with a time zone.")]


class UncheckedEvent(EventFields, forbid_unknown_fields=True, kw_only=True):
    """An event whose data are not decoded yet: its source decodes them."""

    source: Name
    data: msgspec.Raw


class CheckedEvent(NamedTuple):
    """An event that the streams will take. ``identity``: equal for events of which only one counts."""

    encoded: EncodedEvent
    time_ms: int
    identity: tuple[str, str, int]
    customer_id: str


def checked_event(raw: msgspec.Raw, path: str, origin: str, secret: bytes, now_ms: int) -> CheckedEvent:
    """An event at a path of the body, encoded for Kafka. Raises Malformed, EventTimeRefused."""
    event = BodyDecoder(UncheckedEvent, path).decode_part(raw)
    if (source := WRITABLE.get(event.source)) is None:
        raise Malformed(f"Not a source that is open to clients: {', '.join(WRITABLE)} - at `{path}.source`")
    subject = subject_at(event.customer_id, secret, f"{path}.customer_id")
    check_time(event.time, now_ms, f"{path}.time")
    data = BodyDecoder(source.accepted, f"{path}.data").decode_part(event.data)
    value = source.encode(id=event.id, source=origin, subject=subject, time=event.time, data=data)
    try:
        decoded = source.decode(value)
    except InvalidEvent as error:
        raise Malformed(str(error).replace("`$", f"`{path}")) from None
    identity = source.name, subject, decoded.event_id_hash
    return CheckedEvent(EncodedEvent(source, subject, value), decoded.time_ms, identity, event.customer_id)


def check_time(time: datetime, now_ms: int, path: str) -> None:
    """Raises EventTimeRefused for a time that the streams would quarantine, or past which they could count it twice."""
    ahead_ms = ms_of(time) - now_ms
    if ahead_ms > MAX_CLOCK_SKEW_S * 1000:
        raise EventTimeRefused(f"An event is at most {MAX_CLOCK_SKEW_S} s ahead of the server's clock - at `{path}`")
    if ahead_ms < -MAX_AGE_S * 1000:
        raise EventTimeRefused(f"An event is at most {MAX_AGE_S // 86_400} days old - at `{path}`")
