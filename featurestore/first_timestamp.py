"""First Kafka timestamp of an event that is written to its topic again, as a header of the Kafka record. Pure.

A replayed dead letter gets a new Kafka timestamp. The header keeps that of its first recording, so that a grant given
in between does not allow it. A header can only make the timestamp earlier, which denies more.

>>> first_timestamp_ms([(HEADER, b"1700000000000")], kafka_ms=1_700_000_360_000)
1700000000000
>>> first_timestamp_ms([(HEADER, b"1700000360001")], kafka_ms=1_700_000_360_000)
1700000360000
"""

import re
from collections.abc import Iterable

HEADER = "first_timestamp_ms"
MILLISECONDS = re.compile(rb"\d{1,15}")


class MalformedHeader(ValueError):
    """The header of the first timestamp is no number of milliseconds."""


def first_timestamp_ms(headers: Iterable[tuple[str, bytes | None]], kafka_ms: int) -> int:
    """The earliest of a Kafka record's timestamp and those in its headers. Raises MalformedHeader."""
    for name, value in headers:
        if name == HEADER:
            if not MILLISECONDS.fullmatch(value or b""):
                raise MalformedHeader(f"header {HEADER} is not a time in milliseconds")
            kafka_ms = min(kafka_ms, int(value or b""))
    return kafka_ms
