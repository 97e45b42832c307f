"""An erasure over every real data location: what can be erased now is answered, and a request is emptied after that."""

from datetime import datetime, timedelta

import pytest

from featurestore.accesslog.stream import KEY
from featurestore.consent.models import PermissionChange
from featurestore.consent.outbox.relay import relay_due
from featurestore.customers.models import Customer, Suppression
from featurestore.customers.selectors import person_of
from featurestore.locations import AT_ONCE, Registry, prove_all
from featurestore.requests.actors import client, staff
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.erasure.starting import start
from featurestore.requests.erasure.walk import walk_due
from featurestore.requests.services import Intake, messages, receive
from tests.kit.clock import at
from tests.locations.written_facts import WRITERS, Servers, register

MOST_WALKS = 300
"""A walk ends after two seconds of an erasure: on a slow machine it takes many."""
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def walk(now: datetime) -> None:
    """A walk, with what Celery and the store verifier do meanwhile."""
    walk_due(now)
    messages.deliver_due(now)
    relay_due(now)
    PermissionChange.objects.filter(journaled_at=None).update(journaled_at=now)


def test_request_with_data_in_every_location_is_answered_and_its_customer_forgotten(
    servers: Servers, locations: Registry
) -> None:
    for customer in ("ann", "bob"):
        register(servers, customer)
        for name, write in WRITERS.items():
            if name != "contacts":  # the writer of codes writes one
                write(servers, customer)
    ann, bob = person_of("ann"), person_of("bob")
    at_once = [location for location in locations.in_order() if location.gone_within() == AT_ONCE]
    assert len(at_once) > 12
    of_bob = {location.name: prove_all(location, bob).traces for location in at_once}
    request = receive(Intake("erasure", "gdpr", "api", "ann", attested=True), client("shop"), at(100)).request
    start(request.reference, staff("olivia"), now=at(110))
    for number in range(MOST_WALKS):
        walk(at(200 + 400 * number))
        servers.control.delete(KEY)  # what the consumer of access records has written
        erasure = Erasure.objects.get()
        if erasure.state == "answered" and not erasure.steps.exclude(state__in=["checked", "waits"]).exists():
            break
    states = dict(erasure.steps.values_list("location", "state"))
    assert erasure.state == "answered", (erasure.waiting_for, states)
    assert {name for name, state in states.items() if state != "waits"} >= {location.name for location in at_once}
    assert {location.name: prove_all(location, ann).traces for location in at_once} == dict.fromkeys(of_bob, 0)
    assert {location.name: prove_all(location, bob).traces for location in at_once} == of_bob
    assert not Customer.objects.filter(customer_id="ann").exists()
    request.refresh_from_db()
    assert (request.state, request.customer_id, request.subject) == ("answered", "", "")
    assert "Event topics: by " in request.answer
    assert Suppression.objects.count() == 1
    waits = erasure.steps.filter(state="waits")
    assert waits.count() >= 5
    assert all(step.gone_at - step.erased_at >= timedelta(minutes=1) for step in waits)
