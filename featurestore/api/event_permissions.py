"""Whether events will count: by the permissions that the store holds when they are written.

The sender is answered it, and nothing else depends on it: every event is sent, and the streams judge it by themselves,
unless its customer was erased: then it is not sent, and answered like those of somebody who did not agree.
Only the purposes of the sender's key are looked at, so that it reveals no decision about another one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from django.db import DatabaseError

from featurestore.api.errors import Unavailable
from featurestore.api.event_checks import WRITABLE, CheckedEvent
from featurestore.customers.suppressions import count_refused, find_suppressions
from featurestore.installed_catalog import catalog
from featurestore.permission import PurposePermission, current
from featurestore.store import configured
from featurestore.store.protocol import StoredSubject, StoreUnavailable

TIMEOUT_MS = 50  # of the store; then nothing is known, and the event is written all the same
PURPOSES = {
    source: frozenset().union(*(view.purposes for view in catalog().registry.views_of(source))) for source in WRITABLE
}
"""The purposes of the views that a source feeds."""


class Expectation(NamedTuple):
    """What is expected of an event. ``uncounted``: no purpose of the key was permitted at its time, for certain.

    ``permitted``: the store has a permission of its subject that names a purpose: nobody erased them.
    """

    uncounted: bool
    permitted: bool


def expect(events: Sequence[CheckedEvent], purposes: frozenset[str], now_ms: int) -> list[Expectation]:
    """What is expected of each event. Without the store nothing is known."""
    subjects = list(dict.fromkeys(event.encoded.subject for event in events))
    try:
        stored = configured.store().read(subjects, [], [], TIMEOUT_MS).subjects
    except StoreUnavailable:
        return [Expectation(uncounted=False, permitted=False)] * len(events)
    found = dict(zip(subjects, stored, strict=True))
    return [
        Expectation(_is_uncounted(event, one, purposes, now_ms), bool(one.permission and one.permission.purposes))
        for event in events
        for one in [found[event.encoded.subject]]
    ]


def erased(events: Sequence[CheckedEvent], expected: Sequence[Expectation]) -> list[bool]:
    """Whether the identifier of each event was erased: it must not reach Kafka. What is erased is counted.

    The database is asked only about subjects without a permission. Raises Unavailable without it.
    """
    wanted = {event.customer_id for event, one in zip(events, expected, strict=True) if not one.permitted}
    if not wanted:
        return [False] * len(events)
    try:
        found = find_suppressions(wanted)
        count_refused([rows[0] for rows in found.values()], "events")
    except DatabaseError:
        raise Unavailable(
            "Whether a customer was erased is not known while the database is unavailable. Send the same events again."
        ) from None
    return [event.customer_id in found for event in events]


def _is_uncounted(event: CheckedEvent, stored: StoredSubject, purposes: frozenset[str], now_ms: int) -> bool:
    served = PURPOSES[event.encoded.source.name] & purposes
    if not stored.vouched or not served:
        return False
    permissions = (current(stored.permission, purpose, now_ms) for purpose in served)
    return not any(isinstance(one, PurposePermission) and one.since_ms <= event.time_ms for one in permissions)
