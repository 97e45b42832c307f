"""Writing of a customer's data by the product's own writers, in a process of the installation (``FACTS``).

write CUSTOMER CANARY     what no event and no read leaves; returns when what was quarantined has a row
erase CUSTOMER...         starts erasures, which Celery carries out
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from devservers.waiting import eventually
from featurestore.accesslog.batches import Batch, BatchContext, Read, encode
from featurestore.accesslog.stream import CONSUMER_TIMEOUT_S, RecordStream, StreamEntry
from featurestore.audit.comparison import Difference, DifferenceKind
from featurestore.audit.models import AuditRun
from featurestore.audit.services import finish_run, record_findings
from featurestore.clock import database_now, milliseconds
from featurestore.config import settings
from featurestore.consent import services as consent
from featurestore.consent.models import KeptDenial
from featurestore.customers.selectors import stored_subject
from featurestore.ingest import tasks as ingest
from featurestore.ingest.models import DeadLetter
from featurestore.profiles.services import register
from featurestore.requests.actors import client, staff
from featurestore.requests.erasure.holds import place_hold, release_hold
from featurestore.requests.erasure.starting import start as start_erasure
from featurestore.requests.export import services as exports
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.states import ExportState
from featurestore.requests.export.work import advance
from featurestore.requests.models import CustomerMessage
from featurestore.requests.services import (
    Intake,
    answer,
    close,
    codes,
    confirm_code,
    continue_work,
    receive,
    record_contact,
    wait_for_customer,
    withdraw,
)
from featurestore.requests.services.erasure import BY_STAFF
from featurestore.requests.services.messages import mark_sent_by_hand
from featurestore.row_locations import data_locations
from featurestore.staffreads.services import Question, look

SHOP, SAM = client("shop"), staff("sam")
DEAD_LETTER_S = 60


def write_facts(customer: str, canary: str) -> None:
    """Write what no event and no read leaves: decisions, requests, an export, and what faults leave."""
    decide(customer, canary)
    quarantine_access_records(customer)
    find_difference(customer)
    keep_denial(customer, canary)
    hold(customer)
    look_in_emergency(customer, canary)
    ask(customer, canary)
    export(customer, canary)
    eventually(lambda: has_dead_letter(customer), "the dead letter has a row", DEAD_LETTER_S, every_s=0.5)


def decide(customer: str, canary: str) -> None:
    """Decisions with a reason; the withdrawal sends a purge."""
    facts = {"method": "web", "actor": "sam", "reason": f"Wished by telephone: {canary}"}
    consent.give(customer, "personalisation", notice="privacy/1/en", **facts)
    consent.withdraw(customer, "personalisation", **facts)


def quarantine_access_records(customer: str) -> None:
    """A batch of a process that is no more, which the consumer put aside."""
    now_ms = milliseconds(database_now())
    context = BatchContext("bot", "credential", "support_chat", "service", ["messages"], {})
    raw = encode(Batch("0" * 16, 1, 1, now_ms, 0, [context], [Read(0, stored_subject(customer), now_ms, "request")]))
    RecordStream(settings().control_url, CONSUMER_TIMEOUT_S).quarantine([StreamEntry(b"0-1", now_ms, raw)])


def find_difference(customer: str) -> None:
    """A finding of a consent audit: as if the store had lost the permission."""
    run = AuditRun.objects.create(started_at=database_now())
    record_findings(run, {stored_subject(customer): [Difference(DifferenceKind.MISSING, "", "version 1:1")]}, ())
    finish_run(run)


def keep_denial(customer: str, canary: str) -> None:
    """A denial of a purpose that is defined no more, as a take-over keeps it."""
    now = database_now()
    times = {"decided_at": now, "recorded_at": now, "since": now}
    facts = {"purpose": "earlier", "state": "refused", "decision": "withdrawn", "method": "web", "actor": "sam"}
    KeptDenial.objects.create(subject=stored_subject(customer), reason=f"lost: {canary}", **facts, **times)


def hold(customer: str) -> None:
    """A legal hold that has ended."""
    placed = place_hold(customer, ["contacts"], "a claim", SAM, ends_at=database_now() + timedelta(days=1))
    release_hold(placed.pk, "settled", SAM)


def look_in_emergency(customer: str, canary: str) -> None:
    """An emergency access of a staff member, who names the canary in its reason."""
    look(Question(customer, "support_chat", "service"), "petra", may_view=False, reason=f"incident of {canary}")


def ask(customer: str, canary: str) -> None:
    """A request, verified by a code to a contact, for which the customer was waited for; withdrawn."""
    contact = record_contact(customer, "webhook", f"messenger/{canary}", SHOP)
    intake = Intake("access", "gdpr", "api", customer, details=f"What do you hold? {canary}")
    reference = receive(intake, SHOP).request.reference
    confirm_code(reference, codes.issue(reference, contact)[1])
    wait_for_customer(reference, SAM, "Which account?")
    continue_work(reference, SAM)
    withdraw(reference, SAM, "By telephone.")


def export(customer: str, canary: str) -> None:
    """A request that is answered with a package, which waits for its download."""
    intake = Intake("portability", "gdpr", "api", customer, details=f"All of it: {canary}", attested=True)
    reference = receive(intake, SHOP).request.reference
    made = exports.start(reference, SAM)
    advance()
    exports.release(made.pk, SAM)
    advance()
    answer(reference, SAM, f"Your package is ready, {canary}.", "exported")
    close(reference, SAM)


def has_dead_letter(customer: str) -> bool:
    ingest.import_dead_letters()
    return DeadLetter.objects.filter(subject=stored_subject(customer)).exists()


def erase(*customers: str) -> None:
    """Start the erasures of customers, as the shop asks for them."""
    data_locations()
    for customer in customers:
        received = receive(Intake("erasure", "gdpr", "api", customer, attested=True), SHOP)
        start_erasure(received.request.reference, staff("olivia"))


def register_all(*customers: str) -> None:
    """Register customers, with a consent each."""
    for customer in customers:
        register(customer, "EU", "lamp")
        consent.give(customer, "service", notice="privacy/1/en", method="web", actor="sam")


def package(customer: str) -> None:
    """Export a customer, from the start to the package; prints seconds, items, and the most memory of this process."""
    began_s = time.monotonic()
    intake = Intake("portability", "gdpr", "api", customer, attested=True)
    reference = receive(intake, SHOP).request.reference
    made = exports.start(reference, SAM)
    advance_to(made.pk, ExportState.IN_REVIEW)
    exports.release(made.pk, SAM)
    advance_to(made.pk, ExportState.RELEASED)
    seconds = time.monotonic() - began_s
    items = DataExport.objects.values_list("items", flat=True).get(pk=made.pk)
    answer(reference, SAM, "Your package is ready.", "exported")
    close(reference, SAM)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "items": items, "rss_mb": most}) + "\n")


def advance_to(export: int, state: ExportState) -> None:
    while DataExport.objects.values_list("state", flat=True).get(pk=export) != state:
        advance()


def hand_over() -> None:
    """Give customers the answers that wait for staff."""
    for message in CustomerMessage.objects.filter(state__in=BY_STAFF):
        mark_sent_by_hand(message, SAM, "by letter")


COMMANDS: dict[str, Callable[..., None]] = {
    "write": write_facts,
    "erase": erase,
    "hand_over": hand_over,
    "register": register_all,
    "package": package,
}


def run(command: str, *arguments: str) -> None:
    COMMANDS[command](*arguments)
