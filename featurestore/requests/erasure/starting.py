"""Start of an erasure: for a request, by staff; after a restore, of those who had been erased before; or by a retention
rule, of customers without activity.
"""

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction

from featurestore.clock import database_now
from featurestore.customers.locations import PSEUDONYMISED
from featurestore.customers.models import Customer
from featurestore.customers.selectors import person_of
from featurestore.locations import Person, registry
from featurestore.requests.actors import Actor
from featurestore.requests.erasure.errors import NoLocations, NotErasable
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.erasure.person import digest_of, encrypted
from featurestore.requests.models import RequestType
from featurestore.requests.services.timeline import append_event, begin_work, change_of
from featurestore.requests.states import ERASING_EVENT, State

STARTABLE = (State.OPEN, State.IN_PROGRESS)
AFTER_RESTORE = "the take-over after a restore"
log = structlog.get_logger(__name__)


def start(reference: str, actor: Actor, sources: Sequence[str] = (), now: datetime | None = None) -> Erasure:
    """Start the erasure that a verified request asks for: whole, or of its purposes, or of event sources.

    The walk carries it out. Raises RequestError.
    """
    with change_of(reference, now) as change:
        request = change.request
        if request.type != RequestType.ERASURE:
            raise NotErasable("This is no request for an erasure.")
        if request.state not in STARTABLE:
            raise NotErasable(f"The request is {request.get_state_display().lower()}: no erasure can start now.")
        if Erasure.objects.filter(request=request).exists():
            raise NotErasable("The erasure of this request was started before.")
        if not request.customer_id:
            raise NotErasable("The request names no customer: verify it with the customer id first.")
        person = person_of(request.customer_id, request.purposes or None, list(sources) or None)
        erasure = _create(person, Erasure.Cause.REQUEST, actor.name, change.at, request=request)
        request.changed_at = change.at
        begin_work(request)
        append_event(request, ERASING_EVENT, actor, detail={"purposes": erasure.purposes, "sources": erasure.sources})
    log.info("erasure started", erasure=erasure.pk, request=request.reference, whole=person.whole)
    return erasure


def start_again(now: datetime | None = None) -> int:
    """Start the erasure of every customer who is marked as erased and has none, as a take-over marks them; how many."""
    whole = Erasure.objects.filter(purposes=[], sources=[])
    open_ones = whole.exclude(state=Erasure.State.CLOSED).exclude(customer_key=None)
    marked = Customer.objects.exclude(erased_at=None).exclude(pk__in=open_ones.values("customer_key"))
    marked = marked.exclude(PSEUDONYMISED)
    started = 0
    for customer in marked.order_by("pk")[:100]:
        at = now or database_now()
        with transaction.atomic():
            locked = Customer.objects.select_for_update().filter(pk=customer.pk).exclude(erased_at=None).first()
            if locked is None or open_ones.filter(customer_key=customer.pk).exists():
                continue
            person = person_of(customer.customer_id)
            erasure = _create(person, Erasure.Cause.RESTORE, AFTER_RESTORE, at)
        started += 1
        log.warning("erasure started again after a restore", erasure=erasure.pk)
    return started


def start_ended(customer_id: str, rule: str, now: datetime | None = None) -> Erasure | None:
    """Start the whole erasure of a customer whose relationship has ended by a retention rule; None if the customer is
    being erased, or was.
    """
    at = now or database_now()
    with transaction.atomic():
        locked = Customer.objects.select_for_update().filter(customer_id=customer_id, erased_at=None).first()
        if locked is None:
            return None
        whole = Erasure.objects.filter(customer_key=locked.pk, purposes=[], sources=[])
        if whole.exclude(state=Erasure.State.CLOSED).exists():
            return None
        erasure = _create(person_of(customer_id), Erasure.Cause.ENDED, rule, at)
    log.info("erasure started by a retention rule", erasure=erasure.pk, rule=rule)
    return erasure


def add_missing_steps(erasure: Erasure, at: datetime) -> None:
    """A step for each location that has none: at the start, and for locations that a newer version added."""
    known = set(erasure.steps.values_list("location", flat=True))
    ErasureStep.objects.bulk_create(
        [
            ErasureStep(erasure=erasure, location=location.name, position=position, since=at)
            for position, location in enumerate(registry.in_order())
            if location.name not in known
        ],
        ignore_conflicts=True,
    )


def _create(person: Person, cause: Erasure.Cause, actor: str, at: datetime, **fields: object) -> Erasure:
    if not registry.in_order():
        raise NoLocations("No data location is registered in this process: nothing could be erased or proven.")
    erasure = Erasure.objects.create(
        cause=cause,
        purposes=sorted(person.purposes or ()),
        sources=sorted(person.sources or ()),
        encrypted_person=encrypted(person),
        person_digest=digest_of(person.subjects[0]),
        customer_key=person.customers[0] if person.customers else None,
        started_by=actor[:150],
        started_at=at,
        changed_at=at,
        next_attempt_at=at,
        **fields,
    )
    add_missing_steps(erasure, at)
    return erasure
