"""Parser of quarantined records: headers and bytes as the streams wrote them, not trusted. No query, no Kafka."""

import re
from hashlib import sha256

from featurestore import first_timestamp, names
from featurestore.clock import moment
from featurestore.definitions import EventSource
from featurestore.definitions.source import LARGEST_EVENT_BYTES
from featurestore.identity import is_subject
from featurestore.ingest.dead_letter_topic import TopicRecord
from featurestore.ingest.models import DeadLetter
from featurestore.installed_catalog import catalog

TOPIC = re.compile(rb"[\w.-]{1,249}", re.ASCII)
REASON = re.compile(rb"[a-z_]{1,32}")
NUMBER = re.compile(rb"\d{1,18}")
LAST_MS = 253_402_300_799_999  # of the year 9999
UNREADABLE = "unreadable"
RECORD_EXPIRED = "Kafka no longer has the record: dead letters age out after 30 days."
NOT_FROM_A_WORKER = "No stream worker wrote it: its headers do not name the quarantined record and the reason"


def dead_letter_of(record: TopicRecord, generation: int) -> DeadLetter:
    """The unsaved DeadLetter of a record. One that no stream worker wrote is its own origin, reason ``unreadable``."""
    headers, key = record.headers, record.key or b""
    topic, reason, offset, at = (headers.get(name, b"") for name in ("topic", "reason", "offset", "timestamp_ms"))
    dead_letter = DeadLetter(
        generation=generation,
        partition=record.partition,
        dead_letter_offset=record.offset,
        quarantined_at=moment(record.timestamp_ms),
        subject=key.decode() if is_subject(key) else "",
        size=len(record.value),
        sha256=digest(record.value),
    )
    readable = (
        TOPIC.fullmatch(topic)
        and REASON.fullmatch(reason)
        and NUMBER.fullmatch(offset)
        and (NUMBER.fullmatch(at) or at == b"-1")
        and int(at) <= LAST_MS
        and headers.get("partition") == str(record.partition).encode()
    )
    if readable:
        dead_letter.topic, dead_letter.offset, dead_letter.reason = topic.decode(), int(offset), reason.decode()
        dead_letter.recorded_at = moment(int(at))
        dead_letter.detail = headers.get("detail", b"").decode(errors="replace").replace("\0", "")[:500]
    else:
        dead_letter.topic, dead_letter.offset = names.dead_letters(generation), record.offset
        dead_letter.reason = UNREADABLE
        dead_letter.recorded_at, dead_letter.detail = dead_letter.quarantined_at, NOT_FROM_A_WORKER
    return dead_letter


def first_ms_of(record: TopicRecord) -> int:
    """When the quarantined event was first recorded: the earliest time that its dead letter states, or its own."""
    stated = (record.headers.get(name, b"") for name in (first_timestamp.HEADER, "timestamp_ms"))
    return min([record.timestamp_ms, *(int(at) for at in stated if first_timestamp.MILLISECONDS.fullmatch(at))])


def digest(value: bytes) -> str:
    return sha256(value).hexdigest()


def source_of(dead_letter: DeadLetter) -> EventSource | None:
    """The source of the catalog that reads the record's topic."""
    return catalog().registry.sources.get(names.source_of(dead_letter.topic) or "")


def replay_obstacle(dead_letter: DeadLetter) -> str | None:
    """Why a replay would be quarantined again, whatever was fixed; None if it need not be."""
    if source_of(dead_letter) is None:
        return f"No source of the catalog reads {dead_letter.topic}: discard it."
    if not dead_letter.subject:
        return "Its key is no subject: have it sent again with its key, and discard this one."
    if dead_letter.size > LARGEST_EVENT_BYTES:
        size = f"{dead_letter.size:,} bytes, more than the {LARGEST_EVENT_BYTES:,} that a stream worker accepts"
        return f"It has {size}: have less sent, and discard it."
    return None
