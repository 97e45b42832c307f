"""The walk of an erasure over the data locations: order, two ends, repetition, what is unavailable, and clocks."""

from datetime import timedelta

import pytest

from featurestore.consent.models import ConsentRecord, PermissionChange
from featurestore.consent.outbox.publication import permissions_of
from featurestore.customers.models import Customer, Suppression
from featurestore.profiles.errors import KeptByHold
from featurestore.requests.actors import SYSTEM
from featurestore.requests.erasure import starting, walk
from featurestore.requests.erasure.errors import NoLocations, NotErasable
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.erasure.progress import progress_of
from featurestore.requests.errors import NotPossible
from featurestore.requests.locations import SubjectRequestLocation
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services import Intake, answer, close, receive, refuse, wait_for_customer, withdraw
from tests.kit.clock import at
from tests.kit.erasures import OLIVIA, UNAVAILABLE, ErasureEnvironment, MemoryLocation

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
DAY_S = 86_400


def test_whole_erasure_ends_in_every_location(erasures: ErasureEnvironment) -> None:
    erasure, bob = erasures.start(), erasures.left("bob")
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left(), erasures.left("bob")) == ("closed", 0, bob)
    assert set(erasures.states(erasure).values()) == {"checked"}
    assert erasures.step(erasure, "events").erased == 5
    request = SubjectRequest.objects.get()
    assert request.state == "closed"
    assert [event.kind for event in request.events.all()][-3:] == ["erasing", "answered", "closed"]
    assert "Location events: 5 erased" in request.answer
    assert (erasure.encrypted_person, erasure.customer_key) == ("", None)


def test_person_is_suppressed_and_denied_before_anything_is_erased(erasures: ErasureEnvironment) -> None:
    ann = Customer.objects.get(customer_id="ann")
    erasures.start()
    walk.walk_due(at(30), erasures.clock)
    assert Suppression.objects.get().erased_at == at(30)
    assert permissions_of([ann.subject])[ann.subject].purposes == {}
    assert erasures.shop.store.read([ann.subject], [], [], 100).subjects[0].permission.purposes == {}
    assert [place.calls for place in erasures.places.values()] == [[], [], [], []]
    assert "journal" in Erasure.objects.get().waiting_for
    erasures.relay(31)
    record = erasures.journal.decoded()[-1]
    assert (record.kind, record.subject, record.states) == ("erasure", ann.subject, {})
    assert record.suppression.endswith(Suppression.objects.get().digest)
    erasures.walk(40)
    assert [place.calls[0] for place in erasures.places.values()] == ["erase"] * 4


def test_nothing_is_erased_while_the_journal_is_unavailable(erasures: ErasureEnvironment) -> None:
    erasures.journal.available = False
    erasure = erasures.start()
    for when in (30, 40, 50):
        erasures.walk(when)
    assert set(erasures.states(erasure).values()) == {"pending"}
    erasures.journal.available = True
    erasures.relay(55)
    erasures.walk(60)
    assert erasures.left() == 0


def test_erasure_is_not_answered_before_store_and_streams_know(erasures: ErasureEnvironment) -> None:
    erasures.shop.sent.failing = True
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("erasing", 0)
    assert "purge was not sent" in erasure.waiting_for
    erasures.shop.sent.failing = False
    erasures.relay(1000)
    erasures.walk(1010)
    erasure.refresh_from_db()
    assert (erasure.state, erasure.denied_at) == ("closed", at(1010))


def test_a_second_walk_changes_nothing(erasures: ErasureEnvironment) -> None:
    erasure = erasures.start()
    erasures.walk_to_answer()
    before = list(ErasureStep.objects.values()), list(Erasure.objects.values()), PermissionChange.objects.count()
    assert erasures.walk(1000) == 0
    Erasure.objects.filter(pk=erasure.pk).update(next_attempt_at=at())
    assert erasures.walk(2000) == 0
    Erasure.objects.filter(pk=erasure.pk).update(next_attempt_at=before[1][0]["next_attempt_at"])
    assert before == (
        list(ErasureStep.objects.values()),
        list(Erasure.objects.values()),
        PermissionChange.objects.count(),
    )


def test_stated_time_of_a_location_comes_between_answer_and_close(erasures: ErasureEnvironment) -> None:
    erasures.places["events"].stays = timedelta(days=7)
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    step = erasures.step(erasure, "events")
    assert (erasure.state, step.state, step.kept, step.gone_at) == ("answered", "waits", 5, at(40 + 7 * DAY_S))
    assert "Location events: by 2026-03-08" in SubjectRequest.objects.get().answer
    erasures.walk(40 + 6 * DAY_S)
    assert erasures.step(erasure, "events").state == "waits"
    erasures.places["events"].things.clear()
    erasures.walk(60 + 7 * DAY_S)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.step(erasure, "events").state) == ("closed", "checked")


def test_location_that_is_not_empty_at_its_stated_time_is_tried_again_and_shown(erasures: ErasureEnvironment) -> None:
    events = erasures.places["events"]
    events.stays = timedelta(days=7)
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasures.walk(60 + 7 * DAY_S)
    step = erasures.step(erasure, "events")
    assert (step.state, step.traces) == ("pending", 5)
    assert step.last_error == "5 things could not be erased yet: it is tried again"
    events.stays = timedelta()
    erasures.walk(600 + 7 * DAY_S)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 0)


def test_what_can_be_erased_only_at_the_stated_time_is_erased_then(erasures: ErasureEnvironment) -> None:
    events = erasures.places["events"]
    events.stays = timedelta(days=7)
    erasure = erasures.start()
    erasures.walk_to_answer()
    events.gone_within = lambda: timedelta(days=7)
    events.stays = timedelta()
    erasures.walk(60 + 7 * DAY_S)
    step = erasures.step(erasure, "events")
    assert (step.state, step.erased, step.gone_at) == ("checked", 5, at(40 + 7 * DAY_S))


def test_stated_time_is_never_shortened(erasures: ErasureEnvironment) -> None:
    events = erasures.places["events"]
    events.stays = timedelta(days=7)
    erasure = erasures.start()
    erasures.walk_to_answer()
    Erasure.objects.update(next_attempt_at=at())
    events.stays = timedelta(days=1)
    erasures.walk(-30 * DAY_S)  # the clock was set back
    erasures.walk(50)
    assert erasures.step(erasure, "events").gone_at == at(40 + 7 * DAY_S)
    events.stays = timedelta(days=9)
    erasures.walk(60 + 7 * DAY_S)
    step = erasures.step(erasure, "events")
    assert (step.state, step.gone_at) == ("waits", at(40 + 9 * DAY_S))


def test_clock_set_back_before_a_step_does_not_bring_its_stated_time_forward(erasures: ErasureEnvironment) -> None:
    erasures.places["events"].stays = timedelta(days=7)
    erasure = erasures.start(when=3600)
    erasures.walk(3630)
    Erasure.objects.update(next_attempt_at=at())
    erasures.walk(60)
    assert erasures.step(erasure, "events").gone_at >= at(3600 + 7 * DAY_S)


def test_unavailable_location_is_shown_and_tried_again_while_the_others_go_on(erasures: ErasureEnvironment) -> None:
    store = erasures.places["store"]
    store.error = UNAVAILABLE
    erasure = erasures.start()
    erasures.walk_to_answer()
    step = erasures.step(erasure, "store")
    assert (step.state, step.since, step.attempts, step.last_error) == ("unavailable", at(40), 1, str(UNAVAILABLE))
    assert erasures.states(erasure) | {"store": ""} == dict.fromkeys(erasures.places, "checked") | {"store": ""}
    for when in (100, 200, 1000):
        erasures.walk(when)
    step = erasures.step(erasure, "store")
    assert (step.since, step.attempts) == (at(40), 4)
    assert step.next_attempt_at > at(1000)
    store.error = None
    erasures.walk(2000)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 0)


def test_location_that_fails_unexpectedly_stops_no_other(erasures: ErasureEnvironment) -> None:
    erasures.places["store"].error = ValueError("ann@example.org")
    erasure = erasures.start()
    erasures.walk_to_answer()
    step = erasures.step(erasure, "store")
    assert (step.state, "ValueError" in step.last_error, "ann" in step.last_error) == ("unavailable", True, False)
    assert erasures.step(erasure, "customers").state == "checked"


def test_what_depends_on_an_unavailable_location_waits(erasures: ErasureEnvironment) -> None:
    erasures.places["events"].error = UNAVAILABLE
    erasure = erasures.start()
    erasures.walk_to_answer()
    assert erasures.states(erasure) == {
        "store": "checked", "events": "unavailable", "records": "pending", "customers": "pending",
    }  # fmt: skip
    assert Customer.objects.filter(customer_id="ann").exists()


def test_what_could_not_be_read_is_not_proven(erasures: ErasureEnvironment) -> None:
    erasures.places["events"].unreadable = 3
    erasure = erasures.start()
    erasures.walk_to_answer()
    step = erasures.step(erasure, "events")
    assert (step.state, step.unreadable, step.last_error[:8]) == ("pending", 3, "3 things")


def test_a_location_checked_before_the_last_erasure_is_checked_again(erasures: ErasureEnvironment) -> None:
    erasures.places["events"].error = UNAVAILABLE
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasures.places["events"].error = None
    erasures.walk(1000)
    assert erasures.places["store"].calls == ["erase", "erase", "erase", "prove", "prove"]
    assert erasures.step(erasure, "store").checked_at == at(1000)


def test_walk_ends_with_its_slice_and_goes_on_where_it_was(erasures: ErasureEnvironment) -> None:
    erasure, store = erasures.start(), erasures.places["store"]
    erasures.walk(30)
    erasures.walk(40, slice_s=0)
    assert store.calls == []
    store.page = 1
    erase = store.erase

    def slow(*args):
        erasures.clock.pass_s(0.9)
        return erase(*args)

    store.erase = slow
    when, walks = 50, 0
    while erasures.step(erasure, "store").state == "pending":
        erasures.walk(when, slice_s=1)
        when, walks = when + 10, walks + 1
    assert walks > 1
    assert (store.calls.count("erase"), erasures.step(erasure, "store").erased) == (5, 5)


def test_every_erasure_gets_its_turn(erasures: ErasureEnvironment) -> None:
    store = erasures.places["store"]
    store.page = 1
    erase = store.erase

    def slow(*args):
        erasures.clock.pass_s(walk.ERASURE_SLICE_S)
        return erase(*args)

    ann, bob = erasures.start(), erasures.start("bob")
    erasures.walk(30)
    store.erase = slow
    erasures.walk(40, slice_s=100)
    assert [erasures.step(one, "store").erased for one in (ann, bob)] == [1, 1]


def test_another_process_that_walks_is_left_alone(erasures: ErasureEnvironment) -> None:
    erasures.start()
    with walk.hold_job_lease(walk.LEASE, 100, at(25)):
        assert erasures.walk(30) == 0
    assert erasures.walk(40) == 1


def test_erasure_of_purposes_ends_their_grants_and_suppresses_nobody(erasures: ErasureEnvironment) -> None:
    erasures.shop.give("personalisation", when=3)
    ann = Customer.objects.get(customer_id="ann")
    erasure = erasures.start(purposes=["service", "delivery"])
    walk.walk_due(at(30), erasures.clock)
    permission = permissions_of([ann.subject])[ann.subject].purposes
    assert {name: one.allowed for name, one in permission.items()} == {
        "service": False, "delivery": False, "personalisation": True, "analytics": True, "fraud": True,
    }  # fmt: skip
    assert not Suppression.objects.exists()
    record = ConsentRecord.objects.filter(customer=ann, decision="withdrawn").first()
    assert record.reason == f"erasure {erasure.request.reference}"
    assert Customer.objects.get(customer_id="ann").erased_at is None


def test_somebody_who_is_not_registered_can_be_erased(erasures: ErasureEnvironment) -> None:
    erasure = erasures.start("carl")
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    assert (erasure.state, Suppression.objects.count()) == ("closed", 1)


def test_step_of_a_location_that_was_added_later_is_made(erasures: ErasureEnvironment) -> None:
    erasures.places["store"].error = UNAVAILABLE
    erasure = erasures.start()
    erasures.walk_to_answer()
    ErasureStep.objects.filter(location="records").delete()
    erasures.places["store"].error = None
    erasures.walk(1000)
    assert erasures.step(erasure, "records").state == "checked"


@pytest.mark.parametrize("act", [
    lambda reference: withdraw(reference, OLIVIA, "by phone"),
    lambda reference: wait_for_customer(reference, OLIVIA, "which account?"),
    lambda reference: refuse(reference, OLIVIA, "unfounded", "because"),
    lambda reference: answer(reference, OLIVIA, "Done.", "nothing"),
    lambda reference: close(reference, OLIVIA, "done"),
    lambda reference: starting.start(reference, OLIVIA),
])  # fmt: skip
def test_request_whose_erasure_has_started_cannot_be_ended_by_hand(erasures: ErasureEnvironment, act) -> None:
    erasure = erasures.start()
    with pytest.raises(NotPossible):
        act(erasure.request.reference)
    assert SubjectRequest.objects.get().state == "in_progress"


def test_only_a_verified_request_for_an_erasure_starts_one(erasures: ErasureEnvironment) -> None:

    unverified = receive(Intake("erasure", "gdpr", "api", "ann"), SYSTEM, at(5)).request
    access = receive(Intake("access", "gdpr", "api", "ann", attested=True), SYSTEM, at(5)).request
    for request in (unverified, access):
        with pytest.raises(NotErasable):
            starting.start(request.reference, OLIVIA, now=at(6))


def test_without_a_location_no_erasure_starts(erasures: ErasureEnvironment) -> None:
    starting.registry._locations.clear()
    with pytest.raises(NoLocations):
        erasures.start()


def test_requests_are_emptied_after_the_answer_and_before_the_end(erasures: ErasureEnvironment) -> None:
    requests, contacts = MemoryLocation("subject_requests"), MemoryLocation("contacts")
    contacts.erased_after = ("subject_requests",)
    starting.registry.register(contacts, requests)
    erasures.places["store"].error = UNAVAILABLE
    erasure = erasures.start()
    erasures.walk_to_answer()
    assert requests.calls == contacts.calls == []
    erasures.places["store"].error = None
    erasures.walk(1000)
    erasure.refresh_from_db()
    assert (requests.calls, contacts.calls) == (["erase", "prove"], ["erase", "prove"])
    assert erasure.state == "closed"


def test_answered_request_of_the_customer_is_closed_with_the_erasure(erasures: ErasureEnvironment) -> None:
    starting.registry.register(MemoryLocation("exports"), MemoryLocation("permissions"), SubjectRequestLocation())
    access = receive(Intake("access", "gdpr", "api", "ann", attested=True), SYSTEM, at(5)).request
    answer(access.reference, OLIVIA, "Here it is.", "exported", now=at(6))
    erasure = erasures.start()
    erasures.walk_to_answer()
    for found in (erasure, access):
        found.refresh_from_db()
    assert (erasure.state, access.state, access.subject) == ("closed", "closed", "")
    assert access.events.last().reason == "the customer was erased"


def test_open_request_of_the_customer_is_named_as_what_the_erasure_waits_for(erasures: ErasureEnvironment) -> None:
    starting.registry.register(MemoryLocation("exports"), MemoryLocation("permissions"), SubjectRequestLocation())
    access = receive(Intake("access", "gdpr", "api", "ann", attested=True), SYSTEM, at(5)).request
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    assert erasure.state == "answered"
    assert f"once {access.reference} of the same customer is answered" in progress_of(erasure).next
    withdraw(access.reference, OLIVIA, "by telephone", now=at(100))
    erasures.walk(1000)
    erasure.refresh_from_db()
    access.refresh_from_db()
    assert (erasure.state, access.subject) == ("closed", "")


def test_who_came_back_before_the_stated_time_keeps_what_is_new(erasures: ErasureEnvironment) -> None:
    events = erasures.places["events"]
    events.stays = timedelta(days=7)
    erasure = erasures.start()
    erasures.walk(30)
    with pytest.raises(KeptByHold):
        erasures.shop.register("ann", 35, after_erasure=True)
    erasures.walk(40)
    events.stays = timedelta()
    subject = erasures.shop.register("ann", 100, after_erasure=True).customer.subject
    for place in list(erasures.places.values())[:-1]:
        place.things[subject] = ["ann is back"]
    events.gone_within = lambda: timedelta(days=7)
    erasures.walk(60 + 7 * DAY_S)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 4)
    assert "came back" in erasures.step(erasure, "events").last_error
    assert Customer.objects.get(customer_id="ann").erased_at is None
