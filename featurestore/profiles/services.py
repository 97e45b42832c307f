"""The only writers of customers."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from django.db import transaction

from featurestore.config import settings
from featurestore.consent.changes import Changes
from featurestore.consent.ledger import lock, milliseconds
from featurestore.consent.models import PermissionChange, Purpose
from featurestore.consent.permissions import Basis, registered
from featurestore.consent.publication import BATCH, put
from featurestore.identity import subject_of
from featurestore.profiles.models import Customer


class Registration(NamedTuple):
    """A customer to register. ``since``: customer since, for imports; lawful bases without consent allow from then."""

    customer_id: str
    region: str
    brand: str
    since: datetime | None = None


class Registered(NamedTuple):
    """``effective``: the first permission is in the store, which is vouched for. A known customer stays as it is."""

    customer: Customer
    created: bool
    effective: bool


def register(
    customer_id: str, region: str, brand: str, since: datetime | None = None, now: datetime | None = None
) -> Registered:
    """Register a customer and issue the first permission. Repeats are harmless.

    Must not be called within a transaction. Raises IdentifierError, and WrongDate for a date in the future.
    """
    known = Customer.objects.filter(customer_id=customer_id).first()
    if known:
        return _known(known)
    return _register_batch([Registration(customer_id, region, brand, since)], now)[0]


def register_many(registrations: Iterable[Registration], now: datetime | None = None) -> int:
    """Register customers by the thousand, each thousand in a transaction of its own; how many were new."""
    count, rest = 0, iter(registrations)
    while batch := list(islice(rest, BATCH)):
        count += sum(registered.created for registered in _register_batch(batch, now))
    return count


def _register_batch(registrations: Sequence[Registration], now: datetime | None) -> list[Registered]:
    secret = settings().subject_secret.encode()
    with transaction.atomic(durable=True):
        changes = Changes(lock(now))
        at, now_ms = changes.ledger.at, milliseconds(changes.ledger.at)
        wanted = {registration.customer_id: registration for registration in registrations}
        known = {c.customer_id: c for c in Customer.objects.filter(customer_id__in=wanted)}
        new = Customer.objects.bulk_create(
            Customer(
                customer_id=r.customer_id,
                subject=subject_of(r.customer_id, secret),
                region=r.region,
                brand=r.brand,
                since=r.since or at,
            )
            for r in wanted.values()
            if r.customer_id not in known
        )
        bases = {purpose: Basis(purpose.lawful_basis) for purpose in Purpose.objects.filter(active=True)}
        for customer in new:
            since = wanted[customer.customer_id].since
            since_ms = milliseconds(since) if since else None
            states = {p: registered(basis, changes.next_sequence, now_ms, since_ms) for p, basis in bases.items()}
            changes.change(customer, {purpose: state for purpose, state in states.items() if state})
        changes.write()
    in_effect = put({customer.subject for customer in new}, now)
    return [
        *(Registered(customer, created=True, effective=customer.subject in in_effect) for customer in new),
        *map(_known, known.values()),
    ]


def _known(customer: Customer) -> Registered:
    waiting = PermissionChange.objects.filter(subject=customer.subject, put_at=None).exists()
    return Registered(customer, created=False, effective=not waiting)
