"""Writers of customers: registration, with the first permission."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from featurestore.clock import milliseconds
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.journal.kept_denials import KeptDenials
from featurestore.consent.models import KeptDenial, PermissionChange, Purpose
from featurestore.consent.outbox.publication import publish
from featurestore.consent.permission_derivation import Basis, Import, after_registration, check_date
from featurestore.customers.models import Customer
from featurestore.customers.selectors import subject_of_customer
from featurestore.customers.suppressions import count_refused
from featurestore.jobs.batches import BATCH_SIZE, batches
from featurestore.profiles.after_erasure import admit_after_erasure
from featurestore.profiles.errors import ErasedCustomer, KeptByHold


class Registration(NamedTuple):
    """A customer to register. ``since``: for imports; purposes that need no consent are allowed since then.

    ``history_follows``: as in a consent's Choice. ``after_erasure``: the customer was erased and came back by their own
    choice: they are registered anew, and nothing from before the erasure counts.
    """

    customer_id: str
    region: str
    brand: str
    since: datetime | None = None
    history_follows: bool = False
    after_erasure: bool = False

    @property
    def imported(self) -> Import | None:
        return Import(milliseconds(self.since), self.history_follows) if self.since else None


class RegistrationResult(NamedTuple):
    """A registered customer. ``created``: was unknown before. ``effective``: a vouched store has its permission."""

    customer: Customer
    created: bool
    effective: bool


def register(
    customer_id: str,
    region: str,
    brand: str,
    since: datetime | None = None,
    *,
    history_follows: bool = False,
    after_erasure: bool = False,
    entrance: str = "registration",
    now: datetime | None = None,
) -> RegistrationResult:
    """Register a customer and publish its first permission. A repeat changes nothing.

    ``entrance``: where it came from, for the count of what is refused because the identifier was erased. Must not be
    called within a transaction. Raises IdentifierError; WrongDate for a date in the future or before 1970;
    RegistrationError.
    """
    known = Customer.objects.filter(subject=subject_of_customer(customer_id)).first()
    if known and known.erased_at is None:
        return RegistrationResult(known, False, bool(_effective_subjects([known])))
    registration = Registration(customer_id, region, brand, since, history_follows, after_erasure)
    if results := _register_batch([registration], now, entrance):
        return results[0]
    if after_erasure:
        raise KeptByHold(
            "The erasure of this customer is not answered yet, or a legal hold keeps the row: try it later."
        )
    raise ErasedCustomer("This customer was erased. If they came back by their own choice, state `after_erasure`.")


def register_many(registrations: Iterable[Registration], now: datetime | None = None) -> int:
    """Register customers, a thousand in a transaction; return the number of new ones. Erased ones are left out."""
    return sum(
        registered.created
        for batch in batches(registrations, BATCH_SIZE)
        for registered in _register_batch(batch, now, "import")
    )


def _register_batch(
    registrations: Sequence[Registration], now: datetime | None, entrance: str
) -> list[RegistrationResult]:
    """Register a batch; the results, without those whose identifier was erased."""
    for registration in registrations:
        check_date("since", registration.since)
    wanted = {subject_of_customer(registration.customer_id): registration for registration in registrations}
    with transaction.atomic(durable=True):
        change_sequence = lock_change_sequence(now)
        erasures, refused = admit_after_erasure(wanted)
        for subject in refused:
            del wanted[subject]
        writer = ChangeWriter(change_sequence)
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
        kept = KeptDenials(KeptDenial.objects.filter(subject__in=[customer.subject for customer in new]))
        for customer in new:
            imported = wanted[customer.subject].imported
            states = {
                p: after_registration(
                    basis, writer.next_sequence, now_ms, imported, erased_ms=erasures.get(customer.subject, 0)
                )
                for p, basis in bases.items()
            }
            first = {purpose: state for purpose, state in states.items() if state}
            writer.add_change(customer, kept.first_states(customer.subject, first))
            kept.apply(writer, customer, bases)
        writer.write()
    count_refused(list(refused.values()), entrance, now)
    effective = publish({customer.subject for customer in new}, now) | _effective_subjects(known.values())
    return [
        *(RegistrationResult(customer, True, customer.subject in effective) for customer in new),
        *(RegistrationResult(customer, False, customer.subject in effective) for customer in known.values()),
    ]


def _effective_subjects(customers: Iterable[Customer]) -> set[str]:
    """The subjects of known customers without unpublished changes."""
    subjects = {customer.subject for customer in customers}
    unpublished = PermissionChange.objects.filter(subject__in=subjects, published_at=None)
    return subjects.difference(unpublished.values_list("subject", flat=True))
