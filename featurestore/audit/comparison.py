"""In what a stored permission differs from the database's. Pure."""

from enum import StrEnum
from typing import NamedTuple

from featurestore.permission import Denial, PurposePermission, Permission, current


class Kind(StrEnum):
    """Kinds of findings, the worst first."""

    ALLOWS_MORE = "allows_more"
    UNKNOWN = "unknown_subject_in_store"
    AHEAD = "ahead_of_database"
    DENIES_MORE = "denies_more"
    MISSING = "missing_in_store"
    STALE_FENCE = "stale_fence"


class Difference(NamedTuple):
    """``detail`` holds numbers and names of purposes, never an identifier."""

    kind: Kind
    purpose: str
    detail: str


def differences(ours: Permission, stored: Permission | None, now_ms: int) -> list[Difference]:
    """What the store's permission gets wrong at a time, by purpose; about its version where no purpose differs."""
    if stored is None:
        return [Difference(Kind.MISSING, "", f"the database has version {_fence(ours)}")]
    found = []
    for purpose in sorted(ours.purposes.keys() | stored.purposes.keys()):
        want, have = current(ours, purpose, now_ms), current(stored, purpose, now_ms)
        if kind := _judge(want, have):
            detail = f"database: {_words(want)}; store: {_words(have)}; versions {_fence(ours)} and {_fence(stored)}"
            found.append(Difference(kind, purpose, detail))
    if not found and stored.fence > ours.fence:
        found.append(Difference(Kind.AHEAD, "", f"database: {_fence(ours)}; store: {_fence(stored)}"))
    elif not found and stored != ours:
        found.append(Difference(Kind.STALE_FENCE, "", f"database: {_fence(ours)}; store: {_fence(stored)}"))
    return found


def _judge(want: PurposePermission | Denial, have: PurposePermission | Denial) -> Kind | None:
    if not isinstance(have, PurposePermission):
        return Kind.DENIES_MORE if isinstance(want, PurposePermission) else None
    if not isinstance(want, PurposePermission) or have.grant_id != want.grant_id or have.since_ms < want.since_ms:
        return Kind.ALLOWS_MORE
    if want.until_ms and not 0 < have.until_ms <= want.until_ms:
        return Kind.ALLOWS_MORE
    return Kind.DENIES_MORE if have != want else None


def _words(verdict: PurposePermission | Denial) -> str:
    if isinstance(verdict, Denial):
        return f"denied ({verdict})"
    return f"grant {verdict.grant_id} from {verdict.since_ms} to {verdict.until_ms or 'no end'}"


def _fence(permission: Permission) -> str:
    return f"{permission.epoch}/{permission.sequence}"
