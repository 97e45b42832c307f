"""Definition and retirement of purposes, and publication of notices."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.clock import milliseconds
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.errors import ImmutableRecord, PurposeChanged, UnknownPurpose, WrongNotice
from featurestore.consent.journal.kept_denials import apply_to_new_purpose
from featurestore.consent.models import CurrentPermission, Notice, PermissionChange, Purpose
from featurestore.consent.outbox.publication import publish
from featurestore.consent.paused_altogether import customers_paused_altogether
from featurestore.consent.permission_derivation import Basis, after_registration
from featurestore.consent.services.expiry import expire_due
from featurestore.customers.models import Customer
from featurestore.jobs.batches import BATCH_SIZE

log = structlog.get_logger(__name__)

EXPIRED_AT_ONCE = 20
"""Batches of grants that a retirement ends before it returns: some seconds."""


class Retirement(NamedTuple):
    """A retired purpose. ``effective``: all its grants have ended, in a vouched store too; else that follows soon."""

    purpose: Purpose
    effective: bool


def define_purpose(
    name: str, *, title: str, lawful_basis: str, description: str = "", validity_days: int | None = None
) -> Purpose:
    """Create a purpose, or change its title, description and validity. ``backfill_purposes`` grants it to customers
    registered earlier, if it needs no consent.

    Raises PurposeChanged for another basis or a retired purpose, ValidationError for an invalid field.
    """
    with transaction.atomic():
        # With the lock a registration either grants the purpose or is found by the backfill.
        change_sequence = lock_change_sequence()
        found = Purpose.objects.filter(name=name).first()
        if found and not found.active:
            raise PurposeChanged(f"Purpose {name} is retired, and its customers have seen that: define a new purpose.")
        if found and found.lawful_basis != lawful_basis:
            raise PurposeChanged(f"Purpose {name} rests on {found.lawful_basis} for good: define a new purpose.")
        purpose = found or Purpose(name=name, lawful_basis=lawful_basis, backfilled=lawful_basis == Basis.CONSENT)
        purpose.title, purpose.description, purpose.validity_days = title, description, validity_days
        purpose.full_clean(validate_unique=False)
        purpose.save()
        facts = {"purpose": name, "title": title, "lawful_basis": lawful_basis, "validity_days": validity_days}
        append(Entry("purpose.defined", change_sequence.at, facts, "system"))
        if not found:
            apply_to_new_purpose(writer := ChangeWriter(change_sequence), purpose)
            if writer.outbox:
                writer.write()
    return purpose


def retire_purpose(name: str, now: datetime | None = None) -> Retirement:
    """Retire a purpose for good: no new grant, and every present grant ends, with a record for each customer.

    Must not be called within a transaction. From the commit on every derived permission denies it. Celery ends the
    grants that this call leaves; relay and store verifier publish what it could not. A paused grant ends when it is
    lifted.
    """
    with transaction.atomic(durable=True):
        change_sequence = lock_change_sequence(now)
        purpose = Purpose.objects.filter(name=name).first()
        if purpose is None:
            raise UnknownPurpose(f"No purpose {name[:64]!r}. The administration lists the purposes.")
        purpose.retired_at = purpose.retired_at or change_sequence.at
        purpose.active, purpose.backfilled = False, True
        purpose.save(update_fields=["active", "backfilled", "retired_at"])
        append(Entry("purpose.retired", change_sequence.at, {"purpose": name}, "system"))
    expire_due(now, EXPIRED_AT_ONCE)
    unpublished = PermissionChange.objects.filter(published_at=None).values("subject")
    left = Q(allowed=True, paused=False) | Q(customer__subject__in=unpublished)
    return Retirement(purpose, not CurrentPermission.objects.filter(left, purpose=purpose).exists())


def backfill_purposes(now: datetime | None = None, batches: int | None = None) -> int:
    """Grant new purposes that need no consent to the customers registered before; return the number of grants.

    ``batches``: grant at most so many thousands.
    """
    count = done = 0
    for purpose in Purpose.objects.filter(active=True, backfilled=False):
        while done != batches and (subjects := _backfill_batch(purpose, now)):
            publish(subjects, now)
            count, done = count + len(subjects), done + 1
    return count


def _backfill_batch(purpose: Purpose, now: datetime | None) -> list[str]:
    with transaction.atomic(durable=True):
        writer = ChangeWriter(lock_change_sequence(now))
        has = CurrentPermission.objects.filter(customer=OuterRef("pk"), purpose=purpose)
        customers = list(Customer.objects.filter(~Exists(has), erased_at=None).order_by("pk")[:BATCH_SIZE])
        paused = customers_paused_altogether(customers)
        for customer in customers:
            state = after_registration(
                Basis(purpose.lawful_basis),
                writer.next_sequence,
                milliseconds(writer.change_sequence.at),
                paused=customer.pk in paused,
            )
            if state:
                writer.add_change(customer, {purpose: state})
        writer.write()
        if not customers:
            Purpose.objects.filter(pk=purpose.pk).update(backfilled=True)
            log.info("purpose backfilled", purpose=purpose.name)
    return [customer.subject for customer in customers]


def publish_notice(
    name: str,
    version: int,
    language: str,
    body: str,
    purposes: Collection[str],
    now: datetime | None = None,
) -> Notice:
    """Publish a notice, for good. A repeat is harmless; another text or purpose under the same version is refused."""
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    with transaction.atomic():
        change_sequence = lock_change_sequence(now)
        named = list(Purpose.objects.filter(name__in=purposes))
        if missing := set(purposes) - {purpose.name for purpose in named}:
            raise UnknownPurpose(f"No purpose {', '.join(sorted(missing))}. Define it before its notice.")
        if not named or not body.strip():
            raise WrongNotice("A notice has a text and explains at least one purpose.")
        found = Notice.objects.filter(name=name, version=version, language=language).first()
        if found:
            if found.sha256 != sha256 or set(found.purposes.all()) != set(named):
                raise ImmutableRecord(f"Notice {found.reference} is published and stays: publish a new version.")
            return found
        notice = Notice(
            reference=f"{name}/{version}/{language}",
            name=name,
            version=version,
            language=language,
            body=body,
            sha256=sha256,
            published_at=change_sequence.at,
        )
        notice.full_clean(exclude=["purposes"])
        notice.save()
        notice.purposes.set(named)
        facts = {"notice": notice.reference, "sha256": sha256, "purposes": sorted(one.name for one in named)}
        append(Entry("notice.published", change_sequence.at, facts, "system"))
    return notice
