"""Comparison of permissions: a store that allows more is always found."""

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from featurestore.audit.comparison import DifferenceKind, differences
from featurestore.permission import Permission, PurposePermission, current, held

NOW_MS = 1_000
STATES = st.sampled_from([(True, False), (False, True), (False, False)])  # allowed, paused, refused
GRANTS = st.builds(
    lambda state, grant_id, since_ms, until_ms, complete_from_ms: PurposePermission(
        state[0], grant_id, since_ms, until_ms, state[1], complete_from_ms
    ),
    STATES,
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([0, 500, 2_000, 3_000]),
    st.sampled_from([0, 2]),
)
PERMISSIONS = st.builds(
    Permission,
    st.integers(1, 2),
    st.integers(1, 3),
    st.dictionaries(st.sampled_from(["service", "fraud"]), GRANTS, max_size=2),
)


@for_any(PERMISSIONS, PERMISSIONS)
def test_store_allowing_more_is_the_worst_difference(ours: Permission, stored: Permission):
    kinds = {difference.purpose: difference.kind for difference in differences(ours, stored, NOW_MS)}
    for purpose in ("service", "fraud"):
        want, have = current(ours, purpose, NOW_MS), current(stored, purpose, NOW_MS)
        if isinstance(have, PurposePermission) and (
            not isinstance(want, PurposePermission) or have.grant_id != want.grant_id
        ):
            assert kinds[purpose] is DifferenceKind.ALLOWS_MORE
        if isinstance(want, PurposePermission) and not isinstance(have, PurposePermission):
            assert kinds[purpose] is DifferenceKind.DENIES_MORE
        kept, keeps = held(ours, purpose, NOW_MS), held(stored, purpose, NOW_MS)
        if keeps and not kept:
            assert kinds[purpose] is DifferenceKind.ALLOWS_MORE


@for_any(PERMISSIONS, PERMISSIONS)
def test_equal_permissions_have_no_difference(ours: Permission, stored: Permission) -> None:
    assert (differences(ours, stored, NOW_MS) == []) == (ours == stored)


def permission(grant: PurposePermission | None = None, sequence: int = 7) -> Permission:
    return Permission(1, sequence, {"service": grant} if grant else {})


PAUSED, IMPORTED = PurposePermission(False, 1, 5, paused=True), PurposePermission(True, 1, 5, complete_from_ms=9)


@pytest.mark.parametrize(
    ("ours", "stored", "kind"),
    [
        (PurposePermission(False, 1, 5), PurposePermission(True, 1, 5), DifferenceKind.ALLOWS_MORE),
        (None, PurposePermission(True, 1, 5), DifferenceKind.ALLOWS_MORE),
        (PurposePermission(True, 2, 5), PurposePermission(True, 1, 5), DifferenceKind.ALLOWS_MORE),
        (PurposePermission(True, 1, 5), PurposePermission(True, 1, 4), DifferenceKind.ALLOWS_MORE),
        (PurposePermission(True, 1, 5, 2000), PurposePermission(True, 1, 5), DifferenceKind.ALLOWS_MORE),
        (PurposePermission(True, 1, 5, 2000), PurposePermission(True, 1, 5, 2001), DifferenceKind.ALLOWS_MORE),
        (PurposePermission(True, 1, 5), None, DifferenceKind.DENIES_MORE),
        (PurposePermission(True, 1, 5), PurposePermission(False, 1, 5), DifferenceKind.DENIES_MORE),
        (PurposePermission(True, 1, 5), PurposePermission(True, 1, 6), DifferenceKind.DENIES_MORE),
        (PurposePermission(True, 1, 5), PurposePermission(True, 1, 5, 2000), DifferenceKind.DENIES_MORE),
        (PurposePermission(False, 1, 5), PurposePermission(False, 0, 5), DifferenceKind.STALE_FENCE),
        (PAUSED, PurposePermission(True, 1, 5), DifferenceKind.ALLOWS_MORE),
        (PurposePermission(False, 1, 5), PAUSED, DifferenceKind.ALLOWS_MORE),  # it keeps what was withdrawn
        (None, PAUSED, DifferenceKind.ALLOWS_MORE),
        (PurposePermission(False, 2, 5, paused=True), PAUSED, DifferenceKind.ALLOWS_MORE),
        (PurposePermission(True, 1, 5), PAUSED, DifferenceKind.DENIES_MORE),
        (PAUSED, PurposePermission(False, 1, 5), DifferenceKind.DENIES_MORE),  # it deleted what must be kept
        (PAUSED, PurposePermission(False, 1, 6, paused=True), DifferenceKind.STALE_FENCE),
        (IMPORTED, PurposePermission(True, 1, 5), DifferenceKind.ALLOWS_MORE),
        (PurposePermission(True, 1, 5), IMPORTED, DifferenceKind.DENIES_MORE),
    ],
)
def test_each_difference_has_its_kind(
    ours: PurposePermission | None, stored: PurposePermission | None, kind: DifferenceKind
) -> None:
    assert [difference.kind for difference in differences(permission(ours), permission(stored), NOW_MS)] == [kind]


def test_versions_are_compared_when_no_purpose_differs() -> None:
    same = PurposePermission(True, 1, 5)
    assert differences(permission(same), None, NOW_MS)[0].kind is DifferenceKind.MISSING
    assert differences(permission(same), permission(same, 6), NOW_MS)[0].kind is DifferenceKind.STALE_FENCE
    assert differences(permission(same), permission(same, 8), NOW_MS)[0].kind is DifferenceKind.AHEAD
