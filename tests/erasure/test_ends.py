"""Ends of erasures beside holds, returns, messages by hand, unverified requests and restores."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from featurestore.api.requests import ContactOnRecord, record
from featurestore.consent.services import request_key
from featurestore.customers.models import Customer, LegalHold
from featurestore.profiles.errors import KeptByHold
from featurestore.requests.actors import CUSTOMER, SYSTEM, client
from featurestore.requests.erasure import starting
from featurestore.requests.erasure.holds import place_hold, release_hold
from featurestore.requests.erasure.locations import LegalHoldLocation
from featurestore.requests.locations import ContactLocation, SubjectRequestLocation
from featurestore.requests.models import Contact, CustomerMessage, SubjectRequest
from featurestore.requests.services import Intake, lapse_unverified, receive, withdraw
from featurestore.requests.services import erasure as emptying
from featurestore.requests.services.erasure import prune
from featurestore.requests.services.messages import mark_sent_by_hand, read_text
from tests.kit.clock import at
from tests.kit.erasures import OLIVIA, ErasureEnvironment, MemoryLocation

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
DAY_S = 86_400


class Present:
    """The time by which requests are emptied."""

    def __init__(self) -> None:
        self.seconds: float = 0

    def __call__(self) -> datetime:
        return at(self.seconds)


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> Present:
    made = Present()
    monkeypatch.setattr(emptying, "database_now", made)
    return made


def with_requests() -> None:
    starting.registry.register(MemoryLocation("exports"), MemoryLocation("permissions"), SubjectRequestLocation())


def test_customer_comes_back_only_when_the_hold_has_ended_and_the_rows_have_gone(erasures: ErasureEnvironment) -> None:
    placed = place_hold("ann", ["store"], "a tax audit", OLIVIA, now=at(15))
    erasure = erasures.start()
    erasures.walk_to_answer()
    assert erasures.step(erasure, "store").state == "held"
    with pytest.raises(KeptByHold):
        erasures.shop.register("ann", 100, after_erasure=True)
    release_hold(placed.pk, "over", OLIVIA, at(200))
    erasures.walk(DAY_S)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 0)
    erasures.shop.register("ann", 2 * DAY_S, after_erasure=True)


def test_erasure_of_who_came_back_is_closed_though_a_request_was_open(erasures: ErasureEnvironment) -> None:
    with_requests()
    access = receive(Intake("access", "gdpr", "api", "ann", attested=True), SYSTEM, at(5)).request
    erasure = erasures.start()
    erasures.walk_to_answer()
    erasures.shop.register("ann", 100, after_erasure=True)
    withdraw(access.reference, OLIVIA, "by telephone", now=at(200))
    erasures.walk(DAY_S)
    erasure.refresh_from_db()
    step = erasures.step(erasure, "subject_requests")
    assert (erasure.state, step.state) == ("closed", "checked")
    assert step.last_error.startswith("not looked through: the customer came back")


def test_answer_of_an_erasure_waits_for_staff_who_send_it_by_hand(
    erasures: ErasureEnvironment, present: Present
) -> None:
    with_requests()
    erasure = erasures.start()
    erasures.walk_to_answer()
    message = CustomerMessage.objects.get(kind="answer")
    assert message.state == "by_hand"
    request = SubjectRequest.objects.get(pk=erasure.request_id)
    assert (bool(str(read_text(message)).strip()), request.customer_id) == (True, "ann")
    mark_sent_by_hand(message, OLIVIA, "by letter", at(DAY_S))
    erasures.walk(2 * DAY_S)
    request.refresh_from_db()
    erasure.refresh_from_db()
    assert (request.customer_id, erasure.state) == ("", "closed")


def test_answer_that_nobody_sends_by_hand_goes_after_thirty_days(
    erasures: ErasureEnvironment, present: Present
) -> None:
    with_requests()
    erasure = erasures.start()
    erasures.walk_to_answer()
    for day in (29, 29.5, 31, 32):
        present.seconds = day * DAY_S
        erasures.walk(day * DAY_S)
        erasure.refresh_from_db()
        assert (erasure.state == "closed") is (day > 30), day


def test_hold_placed_within_a_slice_is_obeyed_at_the_next_location(
    erasures: ErasureEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = erasures.places["store"]
    erase = store.erase

    def interrupted(*args: Any) -> Any:
        if not LegalHold.objects.exists():
            place_hold("ann", [], "a law suit", OLIVIA, now=at(40))
        return erase(*args)

    monkeypatch.setattr(store, "erase", interrupted)
    erasure = erasures.start()
    erasures.walk_to_answer()
    assert "held" in erasures.states(erasure).values()


def test_hold_placed_before_a_stated_time_is_obeyed_at_it(
    erasures: ErasureEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = erasures.places["events"]
    events.stays = timedelta(days=7)
    erasure = erasures.start()
    erasures.walk_to_answer()
    assert erasures.step(erasure, "events").state == "waits"
    place_hold("ann", ["events"], "a law suit", OLIVIA, now=at(DAY_S))
    erasures.walk(2 * DAY_S)
    events.stays = timedelta()
    monkeypatch.setattr(events, "gone_within", lambda: timedelta(days=7))  # what is left can be erased at its time
    before = erasures.left()
    erasures.walk(8 * DAY_S)
    assert (erasures.step(erasure, "events").state, erasures.left()) == ("held", before)


def test_request_of_a_stranger_about_an_erased_customer_is_emptied(erasures: ErasureEnvironment) -> None:
    intake = Intake("access", "gdpr", "form", "zoe", details="zoe lives at 5 Elm St")
    stranger = receive(intake, CUSTOMER, at(1000)).request
    lapse_unverified(at(40 * DAY_S))
    stranger.refresh_from_db()
    assert stranger.state == "lapsed"
    assert prune(at(69 * DAY_S)) == 0
    assert prune(at(71 * DAY_S)) == 1
    stranger.refresh_from_db()
    assert (stranger.customer_id, stranger.subject, stranger.details) == ("", "", "")


def test_request_of_a_registered_customer_is_kept(erasures: ErasureEnvironment) -> None:
    receive(Intake("access", "gdpr", "form", "ann"), CUSTOMER, at(1000))
    lapse_unverified(at(40 * DAY_S))
    assert prune(at(4000 * DAY_S)) == 0


def test_unverified_request_of_a_stranger_keeps_no_erasure_open(erasures: ErasureEnvironment) -> None:
    with_requests()
    erasure = erasures.start()
    receive(Intake("access", "gdpr", "form", "ann"), CUSTOMER, at(25))
    erasures.walk_to_answer()
    mark_sent_by_hand(CustomerMessage.objects.get(kind="answer"), OLIVIA, "by letter", at(100))
    erasures.walk(DAY_S)
    erasure.refresh_from_db()
    assert erasure.state == "closed"
    assert {request.state for request in SubjectRequest.objects.all()} == {"closed", "lapsed"}


def test_restored_erasure_starts_beside_one_of_a_purpose(erasures: ErasureEnvironment) -> None:
    erasures.places["events"].stays = timedelta(days=31)
    erasures.start(purposes=["service"])
    erasures.walk_to_answer()
    Customer.objects.filter(customer_id="ann").update(erased_at=at(50))  # as a take-over after a restore marks her
    erasures.walk(1000)
    erasures.walk(1010)
    assert starting.Erasure.objects.filter(cause="restore").count() == 1


@pytest.mark.parametrize("whose", ["ann", "bob"])
def test_ended_hold_of_the_erased_goes_while_somebody_is_held(erasures: ErasureEnvironment, whose: str) -> None:
    starting.registry.register(LegalHoldLocation())
    over = place_hold("ann", [], "a tax audit, over", OLIVIA, now=at(5))
    release_hold(over.pk, "over", OLIVIA, at(6))
    if whose == "bob":
        place_hold("bob", [], "a law suit", OLIVIA, now=at(15))
    erasure = erasures.start()
    for when in (30, 40, DAY_S, 100 * DAY_S):
        erasures.walk(when)
    erasure.refresh_from_db()
    over.refresh_from_db()
    step = erasures.step(erasure, "legal_holds")
    assert (erasure.state, step.state, step.last_error, over.subject) == ("closed", "checked", "", "")


def test_request_that_a_client_sends_again_does_not_name_the_erased_customer(erasures: ErasureEnvironment) -> None:
    with_requests()
    starting.registry.register(ContactLocation())
    intake = Intake(
        "access", "gdpr", "api", "ann", attested=True, key=request_key("shop", "order-1", b"body", b"secret")
    )
    contact = ContactOnRecord(kind="email", address="ann@example.org")
    first = record(intake, contact, client("shop"))
    withdraw(first.reference, OLIVIA, "by telephone")
    CustomerMessage.objects.all().delete()
    Contact.objects.all().delete()
    SubjectRequestLocation().erase_rows(starting.person_of("ann"), [first.pk])
    assert record(intake, contact, client("shop")).pk == first.pk  # its answer was lost
    assert (SubjectRequest.objects.get().customer_id, Contact.objects.count()) == ("", 0)
    erased_at = SubjectRequest.objects.get().erased_at
    assert erased_at is not None
    prune(erased_at + timedelta(days=1, seconds=1))
    assert SubjectRequest.objects.get().idempotency_key == ""
