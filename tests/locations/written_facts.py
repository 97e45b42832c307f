"""Facts of a customer written into a data location, by its name. A new location needs an entry."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Producer
from redis import Redis

from featurestore import names
from featurestore.accesslog.batches import Batch, BatchContext, Read, encode
from featurestore.accesslog.models import AccessRecord, ReadContext
from featurestore.accesslog.stream import FIELD, KEY, QUARANTINE_KEY
from featurestore.audit.models import AuditRun, Finding
from featurestore.auditlog.services import sequence_due
from featurestore.config import settings
from featurestore.consent.journal.records import Evidence, JournalRecord
from featurestore.consent.journal.records import encode as encode_journaled
from featurestore.consent.models import KeptDenial, PermissionChange
from featurestore.consent.outbox.purge_producer import Purge
from featurestore.customers.models import Customer, LegalHold
from featurestore.customers.selectors import stored_subject
from featurestore.identity import partition_of
from featurestore.ingest.models import DeadLetter
from featurestore.passed_by import PARTITION, VALUE, key_of
from featurestore.requests.export.models import DataExport
from featurestore.requests.models import (
    ClockPause,
    Contact,
    CustomerMessage,
    RegimeRule,
    RequestEvent,
    SubjectRequest,
    VerificationCode,
)
from featurestore.requests.states import State
from featurestore.staffreads.models import EmergencyAccess
from featurestore.subjectkeys.subject_keys import encrypt_text
from featurestore.tiles.state_record import StateRecord, StoredTiles
from tests.kit.clock import at, ms
from tests.kit.serving_environment import ServingEnvironment
from tests.kit.shop import Shop

PARTITIONS = 4
TIMEOUT_S = 30
numbers = itertools.count(1)


@dataclass
class Servers:
    """What facts are written in: the shop's database and store, a control Redis, a Kafka."""

    shop: Shop
    serving: ServingEnvironment
    control: Redis
    producer: Producer

    def produce(self, topic: str, subject: str, value: bytes | None, key: str | None = None) -> None:
        partition = partition_of(subject, PARTITIONS)
        self.producer.produce(topic, value, (key or subject).encode(), partition, timestamp=ms(at(60)))
        assert self.producer.flush(TIMEOUT_S) == 0


@dataclass
class Streams:
    """Stream workers that carry out a purge when it is sent: they delete the state of the source of orders."""

    servers: Servers

    def send(self, wanted: list[Purge]) -> dict[Purge, str]:
        for purge in wanted:
            self.servers.produce(changelog(), purge.subject, None)
        return {}


def changelog() -> str:
    return names.changelog("orders", settings().generation)


def register(servers: Servers, customer: str) -> str:
    """Register a customer with a consent, published, sent and journaled; the subject."""
    servers.shop.register(customer, when=10)
    servers.shop.give(customer_id=customer, when=20, reason=f"reason of {customer}")
    subject = stored_subject(customer)
    changes = PermissionChange.objects.filter(subject=subject)
    changes.update(published_at=at(30), purge_sent_at=at(30), journaled_at=at(30))
    return subject


def write_customer(servers: Servers, customer: str) -> None:
    Customer.objects.filter(customer_id=customer).update(brand=f"brand of {customer}")


def write_nothing(servers: Servers, customer: str) -> None:
    """The registration and the consent are what the location holds."""


def write_store(servers: Servers, customer: str) -> None:
    line = {"kind": "completed", "order_id": f"order of {customer}", "sku": "LAMP", "quantity": 1, "amount": "10.00"}
    servers.serving.fold_events(customer, "orders", ("2026-11-20T12:00:00", line))


def write_kept_denial(servers: Servers, customer: str) -> None:
    times = {"decided_at": at(1), "recorded_at": at(1), "since": at(1)}
    facts = {"purpose": "service", "state": "refused", "decision": "withdrawn", "method": "web", "actor": "Staff S"}
    KeptDenial.objects.create(subject=stored_subject(customer), reason=f"reason of {customer}", **facts, **times)


def write_finding(servers: Servers, customer: str) -> None:
    run = AuditRun.objects.create(started_at=at())
    facts = {"kind": "missing", "purpose": f"p {customer}", "detail": "d", "found_at": at(), "seen_at": at()}
    Finding.objects.create(run=run, subject=stored_subject(customer), **facts)


def write_access_record(servers: Servers, customer: str) -> None:
    context = ReadContext.objects.create(
        digest=f"{next(numbers):032x}", client=f"bot of {customer}", credential="c", service="chat", purpose="service"
    )
    for _ in range(2):
        AccessRecord.objects.create(
            id=next(numbers), context=context, subject=stored_subject(customer), at=at(), request_id="r"
        )


def write_access_stream(servers: Servers, customer: str) -> None:
    context = BatchContext(f"bot of {customer}", "c", "chat", "service", ["spend"], {})
    reads = [Read(0, stored_subject(customer), ms(at(n)), "r") for n in range(2)]
    raw = encode(Batch("0" * 16, 1, 1, 1, 0, [context], reads))
    servers.control.xadd(KEY, {FIELD: raw})
    servers.control.xadd(QUARANTINE_KEY, {FIELD: raw})


def write_ended_hold(servers: Servers, customer: str) -> None:
    times = {"begins_at": at(1), "ends_at": at(2), "placed_by": "Staff S"}
    LegalHold.objects.create(subject=stored_subject(customer), reason=f"claim of {customer}", **times)


def write_dead_letter(servers: Servers, customer: str) -> None:
    number = next(numbers)
    DeadLetter.objects.create(
        generation=1,
        topic=f"events.of {customer}.g1",
        partition=0,
        offset=number,
        reason="invalid",
        recorded_at=at(),
        dead_letter_offset=number,
        quarantined_at=at(),
        subject=stored_subject(customer),
        size=10,
        sha256="0" * 64,
    )


def event_of(customer: str) -> bytes:
    subject = stored_subject(customer)
    return msgspec.json.encode({"id": f"event of {customer}", "subject": subject, "data": {"order": 1}})


def write_event(servers: Servers, customer: str) -> None:
    topic, subject = names.events("orders", settings().generation), stored_subject(customer)
    servers.produce(topic, subject, event_of(customer))
    servers.produce(topic, "f" * 32, event_of(customer), key="misplaced")  # by a program that is not ours


def write_dead_letter_record(servers: Servers, customer: str) -> None:
    topic, subject = names.dead_letters(settings().generation), stored_subject(customer)
    servers.produce(topic, subject, f"no JSON of {customer}".encode())
    servers.produce(topic, "f" * 32, f"by the identifier of {customer}".encode(), key=customer)


def write_purge(servers: Servers, customer: str) -> None:
    servers.produce(names.purge(settings().generation), stored_subject(customer), b'{"sequence": 1}')


def write_journal(servers: Servers, customer: str) -> None:
    evidence = Evidence("service", "given", 1000, 1000, 0, "web", "Staff S", f"notice of {customer}", 1000)
    record = JournalRecord("change", 1, 1, 1, 1000, stored_subject(customer), {}, [evidence])
    servers.producer.produce(settings().journal_topic, encode_journaled(record), record.subject.encode(), 0)
    assert servers.producer.flush(TIMEOUT_S) == 0


def write_state(servers: Servers, customer: str) -> None:
    record = StateRecord(7, b"", {"spend": [StoredTiles({"service": 1, "analytics": 2}, b"tiles")]})
    for offset in (6, 7):
        servers.produce(changelog(), stored_subject(customer), msgspec.structs.replace(record, offset=offset).encode())


def request_of(customer: str) -> SubjectRequest:
    rule = RegimeRule.objects.filter(regime__name="gdpr").first()
    assert rule is not None
    return SubjectRequest.objects.create(
        reference=f"R-{next(numbers):04}-AAAA",
        type="access",
        regime=rule.regime,
        rule=rule,
        channel="api",
        customer_id=customer,
        subject=stored_subject(customer),
        details=f"asked by {customer}",
        state=State.LAPSED,
        received_at=at(),
        changed_at=at(),
        due_at=at(100),
    )


def contact_of(customer: str) -> Contact:
    address = f"{customer}@shop.example"
    return Contact.objects.create(
        subject=stored_subject(customer),
        kind="email",
        address=address,
        digest="d",
        recorded_by="Staff S",
        recorded_at=at(),
    )


def write_contact(servers: Servers, customer: str) -> None:
    contact_of(customer)


def write_subject_key(servers: Servers, customer: str) -> None:
    encrypt_text(stored_subject(customer), "a text", "a table.a column")


def write_request(servers: Servers, customer: str) -> None:
    request_of(customer)


def write_request_event(servers: Servers, customer: str) -> None:
    facts = {"number": 1, "at": at(), "kind": "received", "role": "staff", "actor": "Staff S", "state": "received"}
    RequestEvent.objects.create(request=request_of(customer), **facts)


def write_clock_pause(servers: Servers, customer: str) -> None:
    ClockPause.objects.create(request=request_of(customer), began_at=at(), ended_at=at(9))


def write_code(servers: Servers, customer: str) -> None:
    times = {"issued_at": at(), "expires_at": at(9)}
    request, contact = request_of(customer), contact_of(customer)
    VerificationCode.objects.create(request=request, contact=contact, digest="d", **times)


def write_message(servers: Servers, customer: str) -> None:
    times = {"created_at": at(), "next_attempt_at": at()}
    CustomerMessage.objects.create(
        request=request_of(customer),
        kind="answer",
        state="sent",
        text=f"letter to {customer}",
        **times,
    )


def write_export(servers: Servers, customer: str) -> None:
    times = {"created_at": at(), "changed_at": at(), "next_attempt_at": at()}
    DataExport.objects.create(
        request=request_of(customer), name=f"{next(numbers):032x}", state="expired", prepared_by="Staff S", **times
    )


def write_passed_by(servers: Servers, customer: str) -> None:
    topic = settings().passed_by_topic
    servers.producer.produce(topic, VALUE, key_of(stored_subject(customer), f"{next(numbers):x}"), PARTITION)
    assert servers.producer.flush(TIMEOUT_S) == 0


def write_emergency_access(servers: Servers, customer: str) -> None:
    times = {"began_at": at(), "ends_at": at(1800)}
    subject = stored_subject(customer)
    EmergencyAccess.objects.create(staff="Staff S", subject=subject, reason=f"incident of {customer}", **times)


def write_audit_log(servers: Servers, customer: str) -> None:
    sequence_due()  # the entries of the registration and the consent


WRITERS: dict[str, Callable[[Servers, str], None]] = {
    "customers": write_customer,
    "permissions": write_nothing,
    "consent_records": write_nothing,
    "permission_states": write_nothing,
    "permission_changes": write_nothing,
    "versioned_denials": write_nothing,
    "audit_log": write_audit_log,
    "store": write_store,
    "kept_denials": write_kept_denial,
    "audit_findings": write_finding,
    "access_records": write_access_record,
    "access_stream": write_access_stream,
    "dead_letters": write_dead_letter,
    "legal_holds": write_ended_hold,
    "emergency_accesses": write_emergency_access,
    "contacts": write_contact,
    "subject_keys": write_subject_key,
    "subject_requests": write_request,
    "request_events": write_request_event,
    "clock_pauses": write_clock_pause,
    "verification_codes": write_code,
    "customer_messages": write_message,
    "exports": write_export,
    "events": write_event,
    "dead_letter_topic": write_dead_letter_record,
    "purges": write_purge,
    "consent_journal": write_journal,
    "passed_by": write_passed_by,
    "state_tables": write_state,
    "changelogs": write_state,
}

FACTS: dict[str, list[Any]] = {
    "customers": ["{0}", "brand of {0}"],
    "permissions": ["service"],
    "consent_records": ["reason of {0}", "privacy/1/en"],
    "permission_states": ["service"],
    "permission_changes": ["change"],
    "versioned_denials": ["number"],
    "audit_log": ["consent.given", "reason of {0}"],
    "store": ["spend_amount_sum_30d", "service"],
    "kept_denials": ["reason of {0}"],
    "audit_findings": ["p {0}"],
    "access_records": ["bot of {0}"],
    "access_stream": ["bot of {0}"],
    "contacts": ["{0}@shop.example"],
    "subject_keys": [],
    "subject_requests": ["asked by {0}"],
    "request_events": ["received"],
    "clock_pauses": ["reference"],
    "verification_codes": ["reference"],
    "customer_messages": ["letter to {0}"],
    "exports": ["Expired"],
    "dead_letters": ["events.of {0}.g1"],
    "legal_holds": ["claim of {0}"],
    "emergency_accesses": ["access to your data in an emergency"],
    "events": ["event of {0}"],
    "dead_letter_topic": ["no JSON of {0}", "by the identifier of {0}"],
    "purges": ["order to delete values"],
    "consent_journal": ["notice of {0}"],
    "passed_by": ["event that could not be counted"],
    "state_tables": [],  # the store exports the values
    "changelogs": [],
}
"""What an export must tell, with the customer id in place of {0}."""
