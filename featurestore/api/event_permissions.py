"""Whether events will count: by the permissions that the store holds when they are written.

The sender is answered it, and nothing else depends on it: every event is sent, and the streams judge it by themselves.
Only the purposes of the sender's key are looked at, so that it reveals no decision about another one.
"""

from collections.abc import Sequence

from featurestore.api.event_checks import WRITABLE, CheckedEvent
from featurestore.installed_catalog import catalog
from featurestore.permission import PurposePermission, current
from featurestore.store import configured
from featurestore.store.protocol import StoredSubject, StoreUnavailable

TIMEOUT_MS = 50  # of the store; then nothing is known, and the event is written all the same
PURPOSES = {
    source: frozenset().union(*(view.purposes for view in catalog().registry.views_of(source))) for source in WRITABLE
}
"""The purposes of the views that a source feeds."""


def uncounted(events: Sequence[CheckedEvent], purposes: frozenset[str], now_ms: int) -> list[bool]:
    """Whether no purpose of a key was permitted at the time of an event, for each. False if that is not known."""
    subjects = list(dict.fromkeys(event.encoded.subject for event in events))
    try:
        stored = configured.store().read(subjects, [], [], TIMEOUT_MS).subjects
    except StoreUnavailable:
        return [False] * len(events)
    found = dict(zip(subjects, stored, strict=True))
    return [_is_uncounted(event, found[event.encoded.subject], purposes, now_ms) for event in events]


def _is_uncounted(event: CheckedEvent, stored: StoredSubject, purposes: frozenset[str], now_ms: int) -> bool:
    served = PURPOSES[event.encoded.source.name] & purposes
    if not stored.vouched or not served:
        return False
    permissions = (current(stored.permission, purpose, now_ms) for purpose in served)
    return not any(isinstance(one, PurposePermission) and one.since_ms <= event.time_ms for one in permissions)
