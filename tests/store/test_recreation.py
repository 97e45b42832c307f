"""Recreation marks: a permission is stored where none was, though events may have been skipped before."""

import pytest

from featurestore.permission import Permission, PurposePermission
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import OnlineStore, WriteOutcome
from featurestore.store.redis import subject_key
from tests.store.subjects import ANN, BOB, NOW_MS, allowing, field, pausing, refusing, stored


def delete(store: OnlineStore, subject: str = ANN) -> None:
    """Delete a subject's hash, as somebody else does."""
    if isinstance(store, MemoryStore):
        store.delete(subject)
    for node in store.nodes():
        if not isinstance(node, MemoryStore) and node.owns(subject):
            node._execute([("DEL", subject_key(subject))])


def mark(store: OnlineStore, subject: str = ANN) -> bytes | None:
    return store.read([subject], [], [], 1_000).subjects[0].recreation_mark


def test_a_permission_stored_where_none_was_is_reported_and_marked(store: OnlineStore) -> None:
    store.publish_permissions({ANN: allowing(), BOB: allowing()})
    assert not store.publish_permissions({ANN: allowing(sequence=2)}, now_ms=NOW_MS)[ANN].recreated
    assert mark(store) is None
    store.write([field(1), field(1, subject=BOB)], NOW_MS)
    delete(store)
    assert stored(store) == (None, [None])
    results = store.publish_permissions({subject: allowing(sequence=2) for subject in (ANN, BOB)}, now_ms=NOW_MS)
    assert [results[ANN].recreated, results[BOB].recreated] == [True, False]
    assert mark(store) is not None
    assert mark(store, BOB) is None
    assert store.write([field(2)], NOW_MS) == [WriteOutcome.DONE]
    assert mark(store) is not None


def test_a_recreation_is_reported_until_every_grant_starts_later(store: OnlineStore) -> None:
    assert store.publish_permissions({ANN: allowing()}, now_ms=NOW_MS)[ANN].recreated
    assert store.publish_permissions({ANN: allowing()}, now_ms=NOW_MS + 2)[ANN].recreated
    assert store.publish_permissions({ANN: allowing(sequence=2, since_ms=NOW_MS)}, now_ms=NOW_MS + 2)[ANN].recreated
    later = allowing(sequence=3, since_ms=NOW_MS + 1)
    assert not store.publish_permissions({ANN: later}, now_ms=NOW_MS + 2)[ANN].recreated
    assert mark(store) is not None


@pytest.mark.parametrize(
    ("permission", "now_ms"),
    [(allowing(), None), (allowing(), 4), (refusing(), NOW_MS), (Permission(1, 1), NOW_MS)],
    ids=["new incarnation", "a grant that has not begun", "refused", "without purposes"],
)
def test_a_permission_that_allowed_no_skipped_event_is_not_marked(
    store: OnlineStore, permission: Permission, now_ms: int | None
) -> None:
    assert store.publish_permissions({ANN: permission}, now_ms=now_ms)[ANN].recreated
    assert mark(store) is None


def test_a_mark_is_removed_after_every_value_was_pushed_under_later_grants(store: OnlineStore) -> None:
    later = [allowing(sequence=sequence, since_ms=NOW_MS + 1_000 * sequence) for sequence in range(5)]
    store.publish_permissions({ANN: allowing()}, now_ms=NOW_MS)
    first = mark(store)
    store.drop_disallowed({ANN: first})
    assert mark(store) == first, "its grant claims events that were skipped"
    store.publish_permissions({ANN: later[2]}, now_ms=NOW_MS)
    store.drop_disallowed({ANN: None})
    assert mark(store) == first, "the push began before the mark was read"
    delete(store)
    store.publish_permissions({ANN: later[2]}, now_ms=NOW_MS + 2_500)
    second = mark(store)
    store.publish_permissions({ANN: later[3]}, now_ms=NOW_MS + 2_500)
    store.drop_disallowed({ANN: first})
    assert mark(store) == second != first, "what was pushed is lost again"
    store.drop_disallowed({ANN: second})
    assert mark(store) is None
    assert stored(store)[0] == later[3]


def test_a_paused_grant_is_marked_until_it_is_lifted_and_pushed(store: OnlineStore) -> None:
    assert store.publish_permissions({ANN: pausing()}, now_ms=NOW_MS)[ANN].recreated
    first = mark(store)
    store.drop_disallowed({ANN: first})
    assert mark(store) == first is not None
    lifted = allowing(sequence=3, since_ms=NOW_MS + 1)
    assert not store.publish_permissions({ANN: lifted}, now_ms=NOW_MS + 2)[ANN].recreated
    store.drop_disallowed({ANN: first})
    assert mark(store) is None


def test_an_import_that_counts_completely_from_now_on_is_not_marked(store: OnlineStore) -> None:
    imported = PurposePermission(True, 1, 5, complete_from_ms=NOW_MS + 1)
    store.publish_permissions({ANN: Permission(1, 1, {"service": imported})}, now_ms=NOW_MS)
    assert mark(store) is None
