"""``as_of``: a read about an earlier time, answered exactly or refused."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from featurestore.api.errors import InFuture, TooEarly
from featurestore.definitions.source import ms_of
from featurestore.serving import as_of as online

AsOf = Annotated[
    datetime,
    msgspec.Meta(
        tz=True,
        description="Answer as of this earlier time, with its zone. Consent is judged now all the same.",
    ),
]


def past_ms(as_of: datetime, now_ms: int) -> int:
    """Milliseconds of a time that a question may be about. Raises InFuture, TooEarly."""
    at_ms = ms_of(as_of)
    if at_ms > now_ms:
        raise InFuture("Leave it out to ask for now - at `$.as_of`")
    if at_ms < 0:
        raise TooEarly("Nothing is kept from before 1970 - at `$.as_of`")
    return at_ms


def explanation(found: Sequence[online.TooEarly], asked: Sequence[str], subjects: Sequence[str]) -> str:
    """What is too early, in words of the definitions; and of which customers by their places in a batch.

    ``asked`` are the distinct subjects that were read, ``subjects`` those of a batch in its order.
    """
    views = sorted({f"view {view}: {cause}" for _, view, cause in found})
    wanted = {asked[place] for place, _, _ in found}
    places = [f"`$.customer_ids[{i}]`" for i, subject in enumerate(subjects) if subject in wanted]
    return f"{'; '.join(views)}. Ask as of a later time, or without these - at {', '.join(['`$.as_of`', *places])}"
