"""The ``as_of`` field of a read: an earlier time, answered for exactly or refused."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from featurestore.api.errors import InFuture, TooEarly
from featurestore.definitions.source import ms_of
from featurestore.serving import as_of as serving

AsOf = Annotated[
    datetime,
    msgspec.Meta(
        tz=True,
        description="Answer as of this earlier time, with a time zone. Consent is judged as of now.",
    ),
]


def past_ms(as_of: datetime, now_ms: int) -> int:
    """An ``as_of`` in milliseconds. Raises InFuture, TooEarly."""
    at_ms = ms_of(as_of)
    if at_ms > now_ms:
        raise InFuture("Leave it out to read as of now - at `$.as_of`")
    if at_ms < 0:
        raise TooEarly("Nothing is stored from before 1970 - at `$.as_of`")
    return at_ms


def explanation(found: Sequence[serving.TooEarlyView], distinct: Sequence[str], batch: Sequence[str]) -> str:
    """Detail of a problem: the views that have no exact answer, why, and the fields of the request to change.

    ``distinct`` are the subjects that were read, each once; ``batch`` those of a batch request in its order.
    """
    views = sorted({f"view {view}: {cause}" for _, view, cause in found})
    affected = {distinct[index] for index, _, _ in found}
    paths = [f"`$.customer_ids[{i}]`" for i, subject in enumerate(batch) if subject in affected]
    return f"{'; '.join(views)}. Use a later time, or leave these out - at {', '.join(['`$.as_of`', *paths])}"
