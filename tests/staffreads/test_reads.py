"""Reads of customers' values by staff: the same answer as a chat engine's, recorded, by right or in an emergency."""

from datetime import timedelta
from typing import Any

import pytest

from featurestore.accesslog.writer import AccessLogWriter
from featurestore.auditlog.entries import read_content
from featurestore.auditlog.models import WaitingEntry
from featurestore.clock import moment
from featurestore.config import settings
from featurestore.customers.models import Customer, LegalHold
from featurestore.customers.selectors import person_of, pseudonym, stored_subject
from featurestore.locations import erase_all, prove_all
from featurestore.profiles.services import register
from featurestore.row_locations import data_locations
from featurestore.serving.answer import Answer, Status
from featurestore.staffreads import services
from featurestore.staffreads.errors import (
    NoAnswer,
    NoReason,
    NotAllowed,
    TooManyEmergencies,
    UnknownCustomer,
    UnknownQuestion,
)
from featurestore.staffreads.models import EmergencyAccess
from featurestore.staffreads.selectors import in_force, questions
from featurestore.staffreads.services import EMERGENCY, MOST_A_DAY, Question, look, prune
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable
from tests.kit.access_log import MemoryStream
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

ASKED = Question("ann", "support_chat", "service")
REASON = "incident 7 of today"
PURCHASE = {"kind": "completed", "order_id": "o1", "sku": "LAMP", "quantity": 1, "amount": "10.00"}
EVENT = ("2026-11-22T11:59:00", PURCHASE)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> MemoryStream:
    """The access log, after ``AccessLogWriter.stop``."""
    stream = MemoryStream()
    made = AccessLogWriter(stream, 10**9, lambda: NOW_MS)
    monkeypatch.setattr(services, "access_log_writer", lambda: made)
    return stream


@pytest.fixture
def served(db: None, reads: MemoryStream, monkeypatch: pytest.MonkeyPatch) -> ServingEnvironment:
    """A store with one purchase of ann's, whom she allows the service to know; ann and bob are registered."""
    made = ServingEnvironment()
    for name in ("ann", "bob"):
        register(name, "eu", "acme")
    monkeypatch.setattr(configured, "store", lambda: made.store)
    made.permit("ann", service=True, analytics=False)
    made.fold_events("ann", "orders", EVENT)
    return made


NOON = moment(NOW_MS)


def look_at_noon(question: Question = ASKED, staff: str = "olivia", **facts: Any) -> Answer:
    """A look at the time of the serving environment, by somebody who may view values."""
    return look(question, staff, **{"may_view": True, "now": NOON} | facts)


def entries() -> list[dict[str, Any]]:
    """What waits for its index in the audit log, in order."""
    return [read_content(row.content) for row in WaitingEntry.objects.order_by("pk")]


def test_staff_see_what_a_chat_engine_is_answered(served: ServingEnvironment) -> None:
    answer = look_at_noon()
    assert answer.features["spend_amount_sum_1h"] == 10.0
    assert answer.views["spend"].status is Status.PRESENT
    of_bob = look_at_noon(ASKED._replace(customer_id="bob"))
    assert {view.status for view in of_bob.views.values()} == {Status.WITHHELD}


def test_look_at_nobody_is_recorded_without_a_subject(served: ServingEnvironment, reads: MemoryStream) -> None:
    Customer.objects.filter(subject=stored_subject("bob")).update(erased_at=NOON)
    for name in ("nobody", "bob"):
        for facts in ({"staff": "olivia"}, {"staff": "petra", "may_view": False, "reason": REASON}):
            with pytest.raises(UnknownCustomer, match=f"under the id {name}"):
                look_at_noon(ASKED._replace(customer_id=name), **facts)
    assert {(entry["type"], entry["subject"]) for entry in entries()} == {
        ("values.viewed", ""), ("values.emergency_began", ""),
    }  # fmt: skip
    emergency = EmergencyAccess.objects.get()
    assert (emergency.subject, emergency.reason) == ("", ""), "one is enough for both, and no erasure would find it"
    assert REASON not in str(entries())
    services.access_log_writer().stop()
    assert not [one for one in reads.batches if one.reads]


def test_purpose_that_is_refused_is_withheld_from_staff_too(served: ServingEnvironment) -> None:
    refused = look_at_noon(Question("ann", "shop_insight", "analytics"))
    assert {view.status for view in refused.views.values()} == {Status.WITHHELD}


def test_each_look_has_an_access_record_and_an_entry(served: ServingEnvironment, reads: MemoryStream) -> None:
    look_at_noon()
    services.access_log_writer().stop()
    (batch,) = [one for one in reads.batches if one.reads]
    (read,), (context,) = batch.reads, batch.contexts
    assert (context.client, context.credential, context.service, context.purpose) == (
        "(staff)", "", "support_chat", "service",
    )  # fmt: skip
    assert "spend" in context.given
    (entry,) = entries()
    assert (entry["type"], entry["actor"], entry["subject"]) == ("values.viewed", "olivia", stored_subject("ann"))
    assert entry["details"] == {
        "emergency": None, "purpose": "service", "request": read.request_id, "service": "support_chat",
    }  # fmt: skip
    assert read.subject == stored_subject("ann")


def test_look_that_the_store_does_not_answer_is_logged_all_the_same(
    served: ServingEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("connection refused")

    monkeypatch.setattr(served.store, "read", unavailable)
    with pytest.raises(NoAnswer, match="connection refused"):
        look_at_noon()
    assert [entry["type"] for entry in entries()] == ["values.viewed"]


@pytest.mark.parametrize(("service", "purpose"), [("nothing", "service"), ("support_chat", "analytics"), ("", "")])
def test_question_that_no_engine_could_ask_is_refused(served: ServingEnvironment, service: str, purpose: str) -> None:
    if purpose in questions().get(service, ()):
        purpose = "nothing"
    with pytest.raises(UnknownQuestion):
        look_at_noon(Question("ann", service, purpose))
    assert entries() == []


def test_without_the_right_a_look_needs_an_emergency(served: ServingEnvironment, reads: MemoryStream) -> None:
    for reason, error in [("", NotAllowed), ("  ", NotAllowed), ("because", NoReason), ("  because  ", NoReason)]:
        with pytest.raises(error):
            look_at_noon(staff="petra", may_view=False, reason=reason)
    assert (entries(), EmergencyAccess.objects.count()) == ([], 0)
    answer = look_at_noon(staff="petra", may_view=False, reason=f" {REASON} ")
    assert answer.features["spend_amount_sum_1h"] == 10.0
    begun = EmergencyAccess.objects.get()
    assert (begun.staff, begun.subject, begun.reason) == ("petra", stored_subject("ann"), REASON)
    assert (begun.began_at, begun.ends_at) == (NOON, NOON + EMERGENCY)
    assert [(entry["type"], entry["details"]["emergency"]) for entry in entries()] == [
        ("values.emergency_began", begun.pk), ("values.viewed", begun.pk),
    ]  # fmt: skip


def test_emergency_is_of_one_person_about_one_customer_and_ends(served: ServingEnvironment) -> None:
    look_at_noon(staff="petra", may_view=False, reason=REASON)
    last = NOON + EMERGENCY - timedelta(milliseconds=1)
    look_at_noon(staff="petra", may_view=False, now=last)
    assert EmergencyAccess.objects.count() == 1
    for facts in (
        {"now": NOON + EMERGENCY},
        {"now": NOON - timedelta(minutes=1)},  # the clock was set back
        {"staff": "chris"},
        {"question": ASKED._replace(customer_id="bob")},
    ):
        with pytest.raises(NotAllowed):
            look_at_noon(**{"staff": "petra", "may_view": False} | facts)
    assert list(in_force(last)) == [EmergencyAccess.objects.get()]
    assert not in_force(NOON + EMERGENCY).exists()


def test_emergencies_of_a_day_are_limited(served: ServingEnvironment) -> None:
    for number in range(MOST_A_DAY):
        register(f"c{number}", "eu", "acme")
        look_at_noon(ASKED._replace(customer_id=f"c{number}"), "petra", may_view=False, reason=REASON)
    with pytest.raises(TooManyEmergencies, match="privacy officer"):
        look_at_noon(staff="petra", may_view=False, reason=REASON)
    look_at_noon(staff="chris", may_view=False, reason=REASON)
    look_at_noon(staff="petra", may_view=False, reason=REASON, now=NOON + timedelta(days=1, seconds=1))


def test_erasure_leaves_who_might_look_and_not_at_whom(served: ServingEnvironment) -> None:
    look_at_noon(staff="petra", may_view=False, reason=REASON)
    location = next(one for one in data_locations().in_order() if one.name == "emergency_accesses")
    ann = person_of("ann")
    assert prove_all(location, ann).traces == 1
    assert erase_all(location, ann).kept == 1, "the customer is not erased yet"
    Customer.objects.filter(subject=stored_subject("ann")).update(erased_at=NOON)
    assert erase_all(location, ann).erased == 1
    assert prove_all(location, ann).traces == 0
    row = EmergencyAccess.objects.get()
    assert (row.staff, row.subject, row.reason) == ("petra", pseudonym(stored_subject("ann")), "")


def test_old_emergencies_are_deleted_unless_a_hold_keeps_them(served: ServingEnvironment) -> None:
    for name in ("ann", "bob"):
        look_at_noon(ASKED._replace(customer_id=name), "petra", may_view=False, reason=REASON)
    days = settings().access_record_days
    subject = stored_subject("bob")
    LegalHold.objects.create(subject=subject, reason="a claim", begins_at=NOON, placed_by="olivia")
    assert prune(NOON + timedelta(days=days)) == 0
    assert prune(NOON + timedelta(days=days, milliseconds=1)) == 1
    assert EmergencyAccess.objects.get().subject == subject
