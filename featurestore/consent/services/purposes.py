"""Purposes and notices: what customers are asked for, and in which words."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from featurestore.clock import milliseconds
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.errors import ImmutableRecord, PurposeChanged, UnknownPurpose, WrongNotice
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.models import CurrentPermission, Notice, PermissionChange, Purpose
from featurestore.consent.outbox.publication import publish
from featurestore.consent.purpose_states import Basis, after_registration
from featurestore.consent.services.expiry import expire_due
from featurestore.customers.models import Customer
from featurestore.jobs.batches import BATCH_SIZE

log = structlog.get_logger(__name__)

AT_ONCE = 20
"""Batches that a retirement ends before it returns: some seconds' worth."""


class Retired(NamedTuple):
    """``effective``: every grant of it has ended, in the store too, which is vouched for; else that is on its way."""

    purpose: Purpose
    effective: bool


def define_purpose(
    name: str, *, title: str, lawful_basis: str, description: str = "", validity_days: int | None = None
) -> Purpose:
    """Make a purpose, or change its words. Name and basis stay. ``backfill_purposes`` then tells earlier customers' rows.

    Raises PurposeChanged for another basis, or for a retired purpose; ValidationError for what makes no sense.
    """
    with transaction.atomic():
        lock_change_sequence()  # registrations wait: a customer has a row of the purpose, or is found when it is backfilled
        found = Purpose.objects.filter(name=name).first()
        if found and not found.active:
            raise PurposeChanged(f"Purpose {name} was retired and customers were told: define a new one.")
        if found and found.lawful_basis != lawful_basis:
            raise PurposeChanged(f"Purpose {name} rests on {found.lawful_basis}, and stays so: define a new one.")
        purpose = found or Purpose(name=name, lawful_basis=lawful_basis, backfilled=lawful_basis == Basis.CONSENT)
        purpose.title, purpose.description, purpose.validity_days = title, description, validity_days
        purpose.full_clean(validate_unique=False)
        purpose.save()
    return purpose


def retire_purpose(name: str, now: datetime | None = None) -> Retired:
    """End a purpose for good: nobody can give it any more, and what was given ends, customer by customer.

    Must not be called within a transaction. From the commit on no permission allows it; beat ends what this call
    leaves, and relay and voucher put what it could not.
    """
    with transaction.atomic(durable=True):
        lock_change_sequence(now)
        purpose = Purpose.objects.filter(name=name).first()
        if purpose is None:
            raise UnknownPurpose(f"No purpose {name[:64]!r}. The administration lists them.")
        purpose.active, purpose.backfilled = False, True
        purpose.save(update_fields=["active", "backfilled"])
    expire_due(now, AT_ONCE)
    unpublished = PermissionChange.objects.filter(published_at=None).values("subject")
    left = Q(allowed=True) | Q(customer__subject__in=unpublished)
    return Retired(purpose, not CurrentPermission.objects.filter(left, purpose=purpose).exists())


def backfill_purposes(now: datetime | None = None) -> int:
    """Give new purposes that need no consent to the customers registered before them; how many rows."""
    count = 0
    for purpose in Purpose.objects.filter(active=True, backfilled=False):
        while subjects := _backfill_batch(purpose, now):
            publish(subjects, now)
            count += len(subjects)
    return count


def _backfill_batch(purpose: Purpose, now: datetime | None) -> list[str]:
    with transaction.atomic(durable=True):
        writer = ChangeWriter(lock_change_sequence(now))
        has = CurrentPermission.objects.filter(customer=OuterRef("pk"), purpose=purpose)
        customers = list(Customer.objects.filter(~Exists(has), erased_at=None).order_by("pk")[:BATCH_SIZE])
        for customer in customers:
            state = after_registration(
                Basis(purpose.lawful_basis), writer.next_sequence, milliseconds(writer.change_sequence.at)
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
    """Publish a notice, for good. The same again is harmless; another text under the same version is refused."""
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
    return notice
