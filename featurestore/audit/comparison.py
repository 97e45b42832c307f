"""Comparison of a stored permission with the database's. Pure."""

from enum import StrEnum
from typing import NamedTuple

from featurestore.permission import Denial, Permission, PurposePermission, current, held


class DifferenceKind(StrEnum):
    """Kinds of differences, the worst first."""

    ALLOWS_MORE = "allows_more"
    UNKNOWN = "unknown_subject_in_store"
    AHEAD = "ahead_of_database"
    DENIES_MORE = "denies_more"
    MISSING = "missing_in_store"
    VALUES_MISSING = "values_missing"
    STALE_FENCE = "stale_fence"


PUSHED_WITHIN_MS = 60_000  # after a permission was put again: for so long the streams may be pushing the values


class Difference(NamedTuple):
    """One difference. ``detail``: numbers and names of purposes, never an identifier."""

    kind: DifferenceKind
    purpose: str
    detail: str


def differences(
    ours: Permission, stored: Permission | None, now_ms: int, recreated_ms: int | None = None
) -> list[Difference]:
    """The differences of a stored permission from ours at a time, by purpose. One of versions too, if the stored one is
    later or no purpose differs. ``recreated_ms``: since when the values may be missing in the store.
    """
    if stored is None:
        return [Difference(DifferenceKind.MISSING, "", f"the database has version {_fence(ours)}")]
    found = []
    for purpose in sorted(ours.purposes.keys() | stored.purposes.keys()):
        want, have = current(ours, purpose, now_ms), current(stored, purpose, now_ms)
        if kind := _kind_of(want, have) or _kind_of_held(held(ours, purpose, now_ms), held(stored, purpose, now_ms)):
            detail = (
                f"database: {_describe(want)}; store: {_describe(have)}; versions {_fence(ours)} and {_fence(stored)}"
            )
            found.append(Difference(kind, purpose, detail))
    if stored.fence > ours.fence or (stored.fence == ours.fence and 0 != stored.token != ours.token != 0):
        found.append(Difference(DifferenceKind.AHEAD, "", f"database: {_fence(ours)}; store: {_fence(stored)}"))
    elif not found and (stored.fence, stored.purposes) != (ours.fence, ours.purposes):
        found.append(Difference(DifferenceKind.STALE_FENCE, "", f"database: {_fence(ours)}; store: {_fence(stored)}"))
    if not found and recreated_ms is not None and now_ms - recreated_ms > PUSHED_WITHIN_MS:
        detail = f"its permission was put again {(now_ms - recreated_ms) // 1000} s ago"
        found.append(Difference(DifferenceKind.VALUES_MISSING, "", detail))
    return found


def _kind_of(want: PurposePermission | Denial, have: PurposePermission | Denial) -> DifferenceKind | None:
    if not isinstance(have, PurposePermission):
        return DifferenceKind.DENIES_MORE if isinstance(want, PurposePermission) else None
    if not isinstance(want, PurposePermission) or have.grant_id != want.grant_id:
        return DifferenceKind.ALLOWS_MORE
    if have.since_ms < want.since_ms or have.start_ms < want.start_ms:
        return DifferenceKind.ALLOWS_MORE
    if want.until_ms and not 0 < have.until_ms <= want.until_ms:
        return DifferenceKind.ALLOWS_MORE
    return DifferenceKind.DENIES_MORE if have != want else None


def _kind_of_held(want: PurposePermission | None, have: PurposePermission | None) -> DifferenceKind | None:
    """The difference of two that both deny: what a pause in the store keeps and should not, or the reverse."""
    if have and (want is None or have.grant_id != want.grant_id):
        return DifferenceKind.ALLOWS_MORE
    return DifferenceKind.DENIES_MORE if want and have is None else None


def _describe(verdict: PurposePermission | Denial) -> str:
    if isinstance(verdict, Denial):
        return f"denied ({verdict})"
    return f"grant {verdict.grant_id} from {verdict.since_ms} to {verdict.until_ms or 'no end'}"


def _fence(permission: Permission) -> str:
    return f"{permission.epoch}/{permission.sequence}"
