"""Order of decisions: by the time at which each was made, whatever order they arrive in, and however often."""

from datetime import datetime
from itertools import count, permutations
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.consent import errors
from featurestore.consent.decision_order import MAX_AHEAD_MS
from featurestore.consent.models import ConsentRecord, CurrentPermission
from featurestore.consent.permission_derivation import Decision
from featurestore.consent.services import Choice, RecordedDecision, record_decisions, request_key
from featurestore.permission import Denial, PurposePermission
from tests.kit.clock import at, ms
from tests.kit.shop import Shop
from tests.kit.threads import at_once

LATE = 1_000
"""Seconds at which the first delivery arrives. Decisions were made before."""
READ_AT = 2_000
numbers = count()


class QueuedDecision(NamedTuple):
    """A decision of a customer at a second. ``until``: the end of a consent."""

    second: int
    decision: Decision
    until: int | None = None

    @property
    def rank(self) -> tuple[int, bool, float]:
        """The one that holds is the newest; at equal times a refusal, then the consent that ends first."""
        return self.second, self.decision is Decision.WITHDRAWN, -(self.until or float("inf"))

    def after(self, began: int) -> "QueuedDecision":
        return QueuedDecision(self.second + began, self.decision, self.until and self.until + began)


GIVEN, WITHDRAWN = Decision.GIVEN, Decision.WITHDRAWN
consents = st.builds(QueuedDecision, st.integers(0, 4), st.just(GIVEN), st.sampled_from([None, 6, LATE + 5, 9_000]))
withdrawals = st.builds(QueuedDecision, st.integers(0, 4), st.just(WITHDRAWN), st.none())


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[int, QueuedDecision]]:
    """Decisions with their numbers, each at least once, in any order."""
    decisions = list(enumerate(draw(st.lists(consents | withdrawals, min_size=1, max_size=4))))
    repeats = draw(st.lists(st.sampled_from(decisions), max_size=3))
    return draw(st.permutations(decisions + repeats))


def deliver(
    shop: Shop, customer_id: str, decided: QueuedDecision, when: float, key: str | None = None, purpose: str = "service"
) -> RecordedDecision:
    choice = Choice(
        customer_id,
        purpose,
        decided.decision,
        "app",
        "queue",
        "privacy/1/en" if decided.decision is GIVEN else None,
        until=at(decided.until) if decided.until else None,
        decided_at=at(decided.second),
        request=None if key is None else request_key("queue", key, repr(decided).encode(), b"secret"),
    )
    return record_decisions([choice], at(when))[0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries=deliveries(), keyed=st.booleans(), interval_s=st.sampled_from([0, 3]))
def test_any_order_of_delivery_ends_in_the_newest_decision(
    shop: Shop, deliveries: list[tuple[int, QueuedDecision]], keyed: bool, interval_s: int
) -> None:
    customer_id, began = f"c{(number := next(numbers))}", number * 10_000  # the time of changes never goes back
    subject = shop.register(customer_id, when=began).customer.subject
    sent = [(n, decided.after(began)) for n, decided in deliveries]
    for position, (n, decided) in enumerate(sent):
        when = began + LATE + position * interval_s
        before = shop.read(subject, when=when)
        recorded = deliver(shop, customer_id, decided, when, f"{customer_id}/{n}" if keyed else None)
        after = shop.read(subject, when=when)
        assert not recorded.record.superseded or after == before, "a superseded decision changes nothing"
        if isinstance(after, PurposePermission) and not isinstance(before, PurposePermission):
            assert after.since_ms == ms(at(when + 1)), "a grant begins with its recording"
    newest = max((decided for _, decided in sent), key=lambda decided: decided.rank)
    final = shop.read(subject, when=began + READ_AT)
    if newest.decision is GIVEN and (newest.until is None or newest.until > began + READ_AT):
        assert isinstance(final, PurposePermission)
        assert final.until_ms == (ms(at(newest.until)) if newest.until else 0)
    else:
        assert final in (Denial.REFUSED, Denial.EXPIRED)
    records = ConsentRecord.objects.filter(customer__customer_id=customer_id, decision__in=[GIVEN, WITHDRAWN])
    assert records.count() == (len({n for n, _ in sent}) if keyed else len(sent))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_an_old_yes_never_overtakes_a_no(shop: Shop, order: tuple[int, ...]) -> None:
    ann = shop.register().customer
    decisions = [QueuedDecision(1, GIVEN), QueuedDecision(2, WITHDRAWN), QueuedDecision(2, GIVEN)]
    for n, number in enumerate(order):
        deliver(shop, "ann", decisions[number], LATE + n)
    assert shop.read(ann.subject) is Denial.REFUSED, "at equal times the refusal wins"


def test_superseded_decision_is_recorded_and_changes_nothing(shop: Shop) -> None:
    ann = shop.register().customer
    deliver(shop, "ann", QueuedDecision(20, GIVEN), 30)
    before = shop.read(ann.subject), CurrentPermission.objects.get(customer=ann, purpose__name="service").sequence
    late = deliver(shop, "ann", QueuedDecision(10, WITHDRAWN), 40)
    assert (late.record.superseded, late.effective, late.repeated) == (True, False, True)
    assert (late.record.decided_at, late.record.at, late.record.since) == (at(10), at(40), at(40))
    after = shop.read(ann.subject), CurrentPermission.objects.get(customer=ann, purpose__name="service").sequence
    assert after == before


def test_decision_time_only_orders_and_never_sets_the_start(shop: Shop) -> None:
    ann = shop.register().customer
    given_ = deliver(shop, "ann", QueuedDecision(10, GIVEN), 500)
    assert given_.since == at(501)
    grant = shop.read(ann.subject)
    assert isinstance(grant, PurposePermission)
    assert grant.since_ms == ms(at(501))
    withdrawn = deliver(shop, "ann", QueuedDecision(20, WITHDRAWN), 600)
    assert (withdrawn.since, withdrawn.record.decided_at) == (at(600), at(20))


def test_decision_without_a_time_of_its_own_is_the_newest(shop: Shop) -> None:
    ann = shop.register().customer
    ahead = MAX_AHEAD_MS // 1000
    deliver(shop, "ann", QueuedDecision(100 + ahead, GIVEN), 100)
    withdrawn = shop.withdraw(when=101)
    assert not withdrawn.record.superseded
    assert shop.read(ann.subject) is Denial.REFUSED
    shop.give(when=101)
    assert isinstance(shop.read(ann.subject), PurposePermission)


def test_decisions_of_the_future_and_old_consents_are_refused(shop: Shop) -> None:
    ann = shop.register().customer
    ahead, month_s = MAX_AHEAD_MS // 1000, 30 * 86_400
    with pytest.raises(errors.WrongDate, match="in the future"):
        deliver(shop, "ann", QueuedDecision(101 + ahead, WITHDRAWN), 100)
    with pytest.raises(errors.WrongDate, match="ask the customer again"):
        deliver(shop, "ann", QueuedDecision(99, GIVEN), 100 + month_s)
    assert not ConsentRecord.objects.exists()
    deliver(shop, "ann", QueuedDecision(100, GIVEN), 100 + month_s)
    late = deliver(shop, "ann", QueuedDecision(101, WITHDRAWN), 200 + 10 * month_s)
    assert late.effective, "a withdrawal counts however late it arrives"
    assert shop.read(ann.subject, when=11 * month_s) is Denial.REFUSED


def test_validity_is_counted_from_the_decision(shop: Shop) -> None:
    shop.register()
    day_s = 86_400
    recorded = deliver(shop, "ann", QueuedDecision(0, GIVEN), 10 * day_s, purpose="personalisation")
    assert recorded.record.until == at(30 * day_s)


def test_consent_that_ended_before_its_recording_ends_an_older_one(shop: Shop) -> None:
    ann = shop.register().customer
    deliver(shop, "ann", QueuedDecision(1, GIVEN), 10)
    ended = deliver(shop, "ann", QueuedDecision(2, GIVEN, until=20), 30)
    assert (ended.record.until, ended.record.decision) == (at(20), "given")
    assert shop.read(ann.subject, when=30) is Denial.REFUSED
    newest = ConsentRecord.objects.first()
    assert newest is not None
    assert (newest.decision, newest.reason) == ("expired", "the consent was over before it was recorded")


@pytest.mark.parametrize(("until", "message"), [(5, "end before it was given"), (10, "end before it was given")])
def test_consent_does_not_end_before_it_was_given(shop: Shop, until: int, message: str) -> None:
    shop.register()
    with pytest.raises(errors.WrongDate, match=message):
        deliver(shop, "ann", QueuedDecision(10, GIVEN, until), 20)


def test_imported_decision_that_is_older_changes_no_end(shop: Shop) -> None:
    ann = shop.register(since=at(-9000)).customer
    shop.give(method="import", since=at(-4000), history_follows=True)
    older = shop.give(method="import", since=at(-8000), until=at(5000), when=1)
    assert older.record.superseded
    grant = shop.read(ann.subject)
    assert isinstance(grant, PurposePermission)
    assert (grant.since_ms, grant.until_ms) == (ms(at(-4000)), 0)


def test_repeated_request_is_recorded_once_and_answered_alike(shop: Shop) -> None:
    shop.register()
    first = deliver(shop, "ann", QueuedDecision(1, GIVEN), 10, key="k")
    again = deliver(shop, "ann", QueuedDecision(1, GIVEN), 400 * 86_400, key="k")
    assert again.record == first.record
    assert (again.since, again.effective, again.record.until) == (first.since, True, None)
    assert ConsentRecord.objects.count() == 1


def test_request_twice_in_one_call_is_recorded_once(shop: Shop) -> None:
    shop.register()
    request = request_key("queue", "k", b"body", b"secret")
    choice = Choice("ann", "service", WITHDRAWN, "app", "queue", request=request)
    first, second = record_decisions([choice, choice], at(10))
    assert first.record == second.record
    assert ConsentRecord.objects.count() == 1


def test_key_of_another_request_is_refused(shop: Shop) -> None:
    shop.register()
    deliver(shop, "ann", QueuedDecision(1, GIVEN), 10, key="k")
    with pytest.raises(errors.IdempotencyKeyReused, match="another body"):
        deliver(shop, "ann", QueuedDecision(2, WITHDRAWN), 20, key="k")
    assert ConsentRecord.objects.count() == 1


def test_refused_request_does_not_use_its_key_up(shop: Shop) -> None:
    with pytest.raises(errors.UnknownCustomer):
        deliver(shop, "ann", QueuedDecision(1, GIVEN), 10, key="k")
    shop.register()
    assert deliver(shop, "ann", QueuedDecision(1, GIVEN), 10, key="k").effective


def test_keys_are_stored_as_keyed_hashes_of_client_and_key(shop: Shop) -> None:
    one, other = (request_key(client, "k", b"body", b"secret") for client in ("a", "b"))
    assert one.key != other.key
    assert one.digest == other.digest != request_key("a", "k", b"other", b"secret").digest
    assert request_key("a", "k", b"body", b"other secret").key != one.key


def test_request_sent_many_times_at_once_is_recorded_once(shop: Shop) -> None:
    shop.register()
    answers: list[tuple[int, datetime]] = []

    def send() -> None:
        recorded = deliver(shop, "ann", QueuedDecision(1, GIVEN), 10, key="k")
        answers.append((recorded.sequence, recorded.since))

    at_once(*[send] * 6)
    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert ConsentRecord.objects.count() == 1


def test_queues_that_deliver_at_once_end_in_the_newest_decision(shop: Shop) -> None:
    subjects = [shop.register(f"c{n}").customer.subject for n in range(3)]
    decisions = [
        QueuedDecision(1, GIVEN),
        QueuedDecision(2, WITHDRAWN),
        QueuedDecision(3, GIVEN),
        QueuedDecision(3, WITHDRAWN),
    ]

    def queue(shift: int) -> None:
        for n in range(3):
            for decided in decisions[shift:] + decisions[:shift]:
                deliver(shop, f"c{n}", decided, 10)

    at_once(*[lambda shift=shift: queue(shift) for shift in range(4)])
    assert {shop.read(subject) for subject in subjects} == {Denial.REFUSED}


def test_repeated_request_is_answered_by_the_newest_decision(shop: Shop) -> None:
    shop.register()
    deliver(shop, "ann", QueuedDecision(1, GIVEN), 5)
    first = deliver(shop, "ann", QueuedDecision(2, WITHDRAWN), 10, key="k")
    assert (first.effective, first.superseded) == (True, False)
    deliver(shop, "ann", QueuedDecision(3, GIVEN), 20)
    again = deliver(shop, "ann", QueuedDecision(2, WITHDRAWN), 30, key="k")
    assert again.record == first.record
    assert (again.effective, again.superseded) == (False, True)
