"""Environment of erasures: data locations in memory beside the shop's, a journal in memory, and a walk in one line."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from featurestore import locations
from featurestore.config import settings
from featurestore.consent.journal.appender import append_due
from featurestore.consent.models import PermissionState
from featurestore.consent.outbox import relay
from featurestore.customers.models import Customer
from featurestore.locations import AT_ONCE, ErasePage, LocationUnavailable, Page, Person, Proof, Registry, Storage
from featurestore.requests.actors import client, staff
from featurestore.requests.erasure import beginning, starting, walk
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.models import SubjectRequest
from featurestore.requests.services import Intake, receive
from tests.kit.clock import Clock, at
from tests.kit.journal import MemoryJournal
from tests.kit.shop import Shop

SHOP, OLIVIA = client("shop"), staff("olivia")
IN_MEMORY = ("store", "events", "records", "customers")
"""Locations of the environment, in the order of their erasure: what is last refers to what is before."""


@dataclass
class MemoryLocation:
    """A location in memory: names of things by subject. ``page``: how many of them one call erases or looks at.

    ``stays``: what erasing leaves behind for so long, as a topic does. ``error``: what every call raises.
    """

    name: str
    things: dict[str, list[str]] = field(default_factory=dict)
    page: int = 2
    stays: timedelta = AT_ONCE
    error: Exception | None = None
    erased_after: tuple[str, ...] = ()
    calls: list[str] = field(default_factory=list)
    stored_in: tuple[Storage, ...] = ()
    derived_from: tuple[str, ...] = ()
    unreadable: int = 0

    @property
    def title(self) -> str:
        return f"Location {self.name}"

    personal_data = "Names of things."
    erased_by = "Erasure."

    def gone_within(self) -> timedelta:
        return self.stays

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        return Page([], None)

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        self._call("erase")
        things = [(subject, one) for subject in person.subjects for one in self.things.get(subject, [])]
        if self.stays:
            return ErasePage(0, len(things), None)
        for subject, one in things[: self.page]:
            self.things[subject].remove(one)
        return ErasePage(len(things[: self.page]), 0, "more" if len(things) > self.page else None)

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        self._call("prove")
        left = sum(len(self.things.get(subject, [])) for subject in person.subjects)
        return Proof(left, sum(map(len, self.things.values())), self.unreadable, None)

    def _call(self, what: str) -> None:
        self.calls.append(what)
        if self.error is not None:
            raise self.error


class CustomerRows(MemoryLocation):
    """The rows of customers in the database, with their consent records."""

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        self._call("erase")
        rows = Customer.objects.filter(pk__in=person.customers).exclude(erased_at=None)
        for customer in rows:
            customer.consent_records.all()._raw_delete("default")
            PermissionState.objects.filter(customer=customer)._raw_delete("default")
        return ErasePage(rows.delete()[0], 0, None)

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        self._call("prove")
        found = Customer.objects.filter(customer_id__in=person.identifiers).count()
        return Proof(found, Customer.objects.count(), 0, None)


@dataclass
class ErasureEnvironment:
    """A shop with the customers ann and bob, who have five things in every location."""

    shop: Shop
    journal: MemoryJournal
    clock: Clock
    places: dict[str, MemoryLocation]

    def set_up(self) -> None:
        for customer_id in ("ann", "bob"):
            subject = self.shop.register(customer_id).customer.subject
            self.shop.give(when=1, customer_id=customer_id)
            for name in IN_MEMORY[:-1]:
                self.places[name].things[subject] = [f"{customer_id} {number}" for number in range(5)]

    def request(self, customer_id: str = "ann", when: float = 10, **fields) -> SubjectRequest:
        intake = Intake("erasure", "gdpr", "api", customer_id, attested=True, **fields)
        return receive(intake, SHOP, at(when)).request

    def start(self, customer_id: str = "ann", when: float = 20, **fields) -> Erasure:
        request = self.request(customer_id, when, **fields)
        return starting.start(request.reference, OLIVIA, now=at(when))

    def walk(self, when: float, slice_s: float = 1000) -> int:
        """One task's walk, with the relay's and the journal's work around it."""
        advanced = walk.walk_due(at(when), self.clock, slice_s)
        self.relay(when)
        return advanced

    def relay(self, when: float) -> None:
        append_due(self.journal)
        relay.relay_due(at(when))

    def walk_to_answer(self, when: float = 30) -> None:
        """The first walk begins, and once the journal knows, the second one erases."""
        self.walk(when)
        self.walk(when + 10)

    def states(self, erasure: Erasure) -> dict[str, str]:
        return dict(ErasureStep.objects.filter(erasure=erasure).values_list("location", "state"))

    def step(self, erasure: Erasure, location: str) -> ErasureStep:
        return ErasureStep.objects.get(erasure=erasure, location=location)

    def left(self, customer_id: str = "ann") -> int:
        """Things of a customer in all locations, and the row."""
        rows = Customer.objects.filter(customer_id=customer_id).count()
        return rows + sum(
            one.startswith(customer_id)
            for place in self.places.values()
            for all_ in place.things.values()
            for one in all_
        )


@pytest.fixture
def erasures(shop: Shop, journal: MemoryJournal, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> ErasureEnvironment:
    with_journal = settings().model_copy(update={"journal_topic": journal.name})
    monkeypatch.setattr(beginning, "settings", lambda: with_journal)
    made = {name: MemoryLocation(name) for name in IN_MEMORY[:-1]}
    made["records"].erased_after = ("events",)
    made["customers"] = CustomerRows("customers", erased_after=("records",))
    registry = Registry()
    registry.register(*made.values())
    for one in ("_locations", "_impersonal"):
        monkeypatch.setattr(locations.registry, one, getattr(registry, one))
    env = ErasureEnvironment(shop, journal, clock, made)
    env.set_up()
    env.relay(2)
    return env


UNAVAILABLE = LocationUnavailable("the store does not answer: is it running?")
