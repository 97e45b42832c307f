"""The only writers of customers."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from django.db import transaction

from featurestore.clock import milliseconds
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.models import PermissionChange, Purpose
from featurestore.consent.outbox.publication import publish
from featurestore.consent.purpose_states import Basis, after_registration, check_date
from featurestore.customers.models import Customer
from featurestore.customers.selectors import subject_of_customer
from featurestore.jobs.batches import BATCH_SIZE


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

    Must not be called within a transaction. Raises IdentifierError, and WrongDate for a date in the future or before
    1970.
    """
    if known := Customer.objects.filter(subject=subject_of_customer(customer_id)).first():
        return Registered(known, False, bool(_in_effect([known])))
    return _register_batch([Registration(customer_id, region, brand, since)], now)[0]


def register_many(registrations: Iterable[Registration], now: datetime | None = None) -> int:
    """Register customers by the thousand, each thousand in a transaction of its own; how many were new."""
    count, rest = 0, iter(registrations)
    while batch := list(islice(rest, BATCH_SIZE)):
        count += sum(registered.created for registered in _register_batch(batch, now))
    return count


def _register_batch(registrations: Sequence[Registration], now: datetime | None) -> list[Registered]:
    for registration in registrations:
        check_date("since", registration.since)
    wanted = {subject_of_customer(registration.customer_id): registration for registration in registrations}
    with transaction.atomic(durable=True):
        writer = ChangeWriter(lock_change_sequence(now))
        at, now_ms = writer.change_sequence.at, milliseconds(writer.change_sequence.at)
        known = {customer.subject: customer for customer in Customer.objects.filter(subject__in=wanted)}
        new = Customer.objects.bulk_create(
            Customer(
                customer_id=r.customer_id,
                subject=subject,
                region=r.region,
                brand=r.brand,
                since=r.since or at,
            )
            for subject, r in wanted.items()
            if subject not in known
        )
        bases = {purpose: Basis(purpose.lawful_basis) for purpose in Purpose.objects.filter(active=True)}
        for customer in new:
            since = wanted[customer.subject].since
            since_ms = milliseconds(since) if since else None
            states = {
                p: after_registration(basis, writer.next_sequence, now_ms, since_ms) for p, basis in bases.items()
            }
            writer.add_change(customer, {purpose: state for purpose, state in states.items() if state})
        writer.write()
    in_effect = publish({customer.subject for customer in new}, now) | _in_effect(known.values())
    return [
        *(Registered(customer, True, customer.subject in in_effect) for customer in new),
        *(Registered(customer, False, customer.subject in in_effect) for customer in known.values()),
    ]


def _in_effect(customers: Iterable[Customer]) -> set[str]:
    """The subjects of known customers whose permission is not on its way."""
    subjects = {customer.subject for customer in customers}
    waiting = PermissionChange.objects.filter(subject__in=subjects, published_at=None)
    return subjects.difference(waiting.values_list("subject", flat=True))
