"""Grants of passed-by subjects start later before a new run is vouched for; entries are removed when settled."""

import pytest

from featurestore.consent.models import ChangeSequence, CurrentPermission, PermissionChange
from featurestore.consent.passed_by import restarts
from featurestore.consent.passed_by.restarts import COVERED, REMOVED_AFTER, PassedByRestarts
from featurestore.consent.vouching.passed_by_subjects import PassedByUnavailable
from featurestore.customers.selectors import subject_of_customer
from featurestore.passed_by import key_of
from tests.kit.clock import at, ms
from tests.kit.passed_by import MemoryPassedBy
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
PASSED_BY_S = 30
COVERED_S = COVERED.total_seconds()
SETTLED = at(PASSED_BY_S + REMOVED_AFTER.total_seconds())
UNKNOWN = "0" * 32


@pytest.fixture
def treated(topic: MemoryPassedBy) -> PassedByRestarts:
    return PassedByRestarts(topic)


@pytest.fixture
def ann(shop: Shop) -> str:
    """The subject of a customer who allows a purpose since the first second."""
    subject = shop.register().customer.subject
    shop.give()
    return subject


def everything(subject: str) -> bool:
    return True


def start_s(customer_id: str = "ann") -> float:
    """When the grant for the service starts, in seconds from the beginning."""
    row = CurrentPermission.objects.get(customer__subject=subject_of_customer(customer_id), purpose__name="service")
    return ((row.complete_from or row.since) - at()).total_seconds()


def test_grant_that_began_before_the_skipped_event_starts_later(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts
) -> None:
    topic.pass_by(ann)
    assert treated.restart_grants(everything, now=at(40))
    assert start_s() == 41
    assert CurrentPermission.objects.get(purpose__name="service").since == at(1), "what was counted before is kept"


def test_grant_that_begins_after_all_that_is_covered_keeps_its_start(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts, shop: Shop
) -> None:
    topic.pass_by(ann)
    CurrentPermission.objects.exclude(purpose__name="service").update(allowed=False)
    shop.withdraw(when=32)
    shop.give(when=PASSED_BY_S + COVERED_S)
    before = start_s()
    assert not treated.restart_grants(everything, now=at(500))
    assert start_s() == before


def test_subject_without_a_grant_is_purged_again(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts, shop: Shop
) -> None:
    """The purge of its withdrawal may have been passed by; while other purposes are allowed, a restart sends one."""
    for purpose in ("service", "analytics"):
        shop.withdraw(purpose, when=20)
    CurrentPermission.objects.update(allowed=False)
    topic.pass_by(ann)
    before = ChangeSequence.objects.get().sequence
    assert treated.restart_grants(everything, now=at(40))
    (change,) = PermissionChange.objects.filter(sequence__gt=before)
    assert (change.subject, change.purge, change.published_at) == (ann, True, None)


def test_repeated_call_does_no_harm(ann: str, topic: MemoryPassedBy, treated: PassedByRestarts) -> None:
    topic.pass_by(ann)
    topic.pass_by(ann)
    topic.pass_by(ann, "b")
    for now_s in (40, 50, 200):
        assert treated.restart_grants(everything, now=at(now_s))
        assert start_s() == now_s + 1
    assert not treated.restart_grants(everything, now=at(300)), "it begins after all that the entries cover"


def test_subject_of_another_node_keeps_its_start(ann: str, topic: MemoryPassedBy, treated: PassedByRestarts) -> None:
    topic.pass_by(ann)
    assert not treated.restart_grants(lambda subject: subject != ann, now=at(40))
    assert start_s() == 1


def test_subject_that_the_database_does_not_know_changes_nothing(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts
) -> None:
    topic.pass_by(UNKNOWN)
    before = ChangeSequence.objects.get().sequence
    assert not treated.restart_grants(everything, now=at(40))
    treated.step(SETTLED)
    assert ChangeSequence.objects.get().sequence == before
    assert topic.open_keys() == set()


def test_entry_is_kept_while_it_may_cover_more_and_removed_after_it(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts
) -> None:
    topic.pass_by(ann)
    treated.step(SETTLED - COVERED)
    assert topic.open_keys() == {key_of(ann, "a")}
    treated.step(SETTLED)
    assert topic.open_keys() == set()
    assert start_s() == 1, "its permission was in the store"
    assert not treated.restart_grants(everything, now=at(500))
    assert not PassedByRestarts(topic).restart_grants(everything, now=at(500)), "another process"


def test_subject_whose_hash_is_still_missing_is_put_again_before_its_entry_is_removed(
    ann: str, shop: Shop, topic: MemoryPassedBy, treated: PassedByRestarts
) -> None:
    topic.pass_by(ann)
    shop.store.delete(ann)
    treated.step(SETTLED)
    assert topic.open_keys() == set()
    assert shop.stored(ann)
    assert at(start_s()) > SETTLED


@pytest.mark.parametrize("fault", ["unvouched", "latched"])
def test_entry_is_kept_while_nothing_can_be_published(
    ann: str, shop: Shop, topic: MemoryPassedBy, treated: PassedByRestarts, fault: str
) -> None:
    topic.pass_by(ann)
    topic.pass_by(UNKNOWN)
    if fault == "unvouched":
        shop.store._vouch = None
    else:
        ChangeSequence.objects.update(latched_at=at(50), latch_reason="lost commits")
    treated.step(SETTLED)
    assert key_of(ann, "a") in topic.open_keys()
    assert (key_of(UNKNOWN, "a") in topic.open_keys()) == (fault == "latched"), "the database may be replaced"


def test_malformed_records_are_removed_and_restart_nothing(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts
) -> None:
    topic.write([b"", b"anything", ann.encode(), f"{ann}x/1".encode()])
    assert not treated.restart_grants(everything, now=at(40))
    treated.step(at(PASSED_BY_S))
    assert topic.open_keys() == set()
    topic.compact()
    topic.pass_by(ann)
    assert treated.restart_grants(everything, now=at(40))


def test_entries_of_a_topic_that_was_made_anew_are_written_again(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts
) -> None:
    topic.pass_by(UNKNOWN)
    topic.now_ms = lambda: ms(SETTLED)
    topic.pass_by(ann)
    treated.step(SETTLED)
    topic.make_anew()
    with pytest.raises(PassedByUnavailable, match="made anew"):
        treated.restart_grants(everything, now=at(400))
    treated.step(SETTLED)
    assert topic.open_keys() == {key_of(ann, "a")}
    assert treated.restart_grants(everything, now=at(400))


def test_topic_made_anew_that_has_grown_is_read_from_its_beginning(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts
) -> None:
    for number in range(3):
        topic.pass_by(UNKNOWN, str(number))
    treated.step(SETTLED)
    topic.make_anew()
    topic.now_ms = lambda: ms(SETTLED)
    topic.pass_by(ann)
    for number in range(9):
        topic.pass_by(UNKNOWN, str(number))
    treated.step(SETTLED)
    assert treated.restart_grants(everything, now=at(400))


@pytest.mark.parametrize("another_process", [False, True])
def test_compacted_topic_is_read_over_its_gaps(
    ann: str, topic: MemoryPassedBy, treated: PassedByRestarts, another_process: bool
) -> None:
    topic.pass_by(UNKNOWN)
    topic.now_ms = lambda: ms(SETTLED)
    topic.pass_by(ann)
    treated.step(SETTLED)
    topic.compact()
    assert [record.key for record in topic.records] == [key_of(ann, "a")]
    process = PassedByRestarts(topic) if another_process else treated
    assert process.restart_grants(everything, now=at(400))


def test_more_entries_than_are_held_in_memory_are_all_treated(
    shop: Shop, topic: MemoryPassedBy, treated: PassedByRestarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "MAX_ENTRIES", 3)
    names = [f"c{number}" for number in range(8)]
    for name in names:
        topic.pass_by(shop.register(name).customer.subject)
        shop.give(customer_id=name)
    assert treated.restart_grants(everything, now=at(40))
    assert {start_s(name) for name in names} == {41}
    treated.step(SETTLED - COVERED)
    assert len(treated._position.left) == 3, "as many as are held in memory"
    treated.step(SETTLED)
    assert topic.open_keys() == set()


def test_unreadable_topic_is_told_and_tried_again(ann: str, topic: MemoryPassedBy, treated: PassedByRestarts) -> None:
    topic.available = False
    with pytest.raises(PassedByUnavailable, match="broker unavailable"):
        treated.restart_grants(everything, now=at(40))
    treated.step(SETTLED)
    topic.available = True
    topic.pass_by(ann)
    assert treated.restart_grants(everything, now=at(40))


def test_call_ends_early_where_it_may_not_go_on(ann: str, topic: MemoryPassedBy, treated: PassedByRestarts) -> None:
    topic.pass_by(ann)
    with pytest.raises(PassedByUnavailable):
        treated.restart_grants(everything, lambda: False, now=at(40))
    assert start_s() == 1


def test_without_a_topic_nothing_is_known_and_nothing_done(ann: str) -> None:
    treated = PassedByRestarts(None)
    treated.step()
    assert not treated.restart_grants(everything)
