"""Legal holds: placed and released by staff. What they keep is decided at each step of an erasure."""

from collections.abc import Collection, Sequence
from datetime import datetime

import structlog
from django.db import transaction

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.clock import database_now
from featurestore.customers.models import LegalHold
from featurestore.customers.selectors import active_holds, stored_subject
from featurestore.locations import registry
from featurestore.requests.actors import Actor
from featurestore.requests.erasure.errors import WrongHold
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.services.timeline import check_text, required

LONGEST_REASON = 500
HOLDS = "legal_holds"
"""Name of the data location of the holds themselves."""
log = structlog.get_logger(__name__)


def place_hold(
    customer_id: str,
    locations: Sequence[str],
    reason: str,
    actor: Actor,
    *,
    begins_at: datetime | None = None,
    ends_at: datetime | None = None,
    now: datetime | None = None,
) -> LegalHold:
    """Place a hold on a customer's rows in some locations, or in all. An erasure that runs obeys it at its next step.

    Raises RequestError.
    """
    why, at = required(reason, "why the rows must be kept, without naming the customer"), now or database_now()
    check_text(why, LONGEST_REASON)
    known = {location.name for location in registry.in_order()}
    if unknown := sorted(set(locations) - known):
        raise WrongHold(f"There is no data location {unknown[0][:64]}.")
    if not customer_id:
        raise WrongHold("State whose rows are kept.")
    begins = begins_at or at
    if ends_at and ends_at <= max(begins, at):
        raise WrongHold("The hold would end before it begins, or has ended.")
    with transaction.atomic():
        hold = LegalHold.objects.create(
            subject=stored_subject(customer_id),
            locations=sorted(set(locations)),
            reason=why,
            begins_at=begins,
            ends_at=ends_at,
            placed_by=actor.name[:150],
            placed_at=at,
        )
        append(Entry("legal_hold.placed", at, {"hold": hold.pk, "locations": hold.locations}, actor.name))
    log.info("legal hold placed", hold=hold.pk, locations=hold.locations or "all", actor=actor.name)
    return hold


def release_hold(key: int, reason: str, actor: Actor, now: datetime | None = None) -> LegalHold:
    """Release a hold: erasures that it kept from their end go on at once. Raises RequestError."""
    why, at = required(reason, "why the rows need not be kept any more"), now or database_now()
    check_text(why, LONGEST_REASON)
    with transaction.atomic():
        hold = LegalHold.objects.select_for_update().filter(pk=key).first()
        if hold is None or hold.released_at is not None:
            raise WrongHold("The hold was released before, or does not exist.")
        hold.released_by, hold.released_at, hold.release_reason = actor.name[:150], at, why
        hold.save(update_fields=["released_by", "released_at", "release_reason"])
        append(Entry("legal_hold.released", at, {"hold": hold.pk}, actor.name))
        waiting = Erasure.objects.exclude(state=Erasure.State.CLOSED).filter(next_attempt_at__gt=at)
        waiting.filter(steps__state="held").update(next_attempt_at=at)
    log.info("legal hold released", hold=hold.pk, actor=actor.name)
    return hold


def held_locations(subjects: Collection[str], at: datetime) -> dict[str, str]:
    """The locations whose rows of these subjects are held, with the reason; those that must be erased after a held one
    too, since its rows refer to theirs.
    """
    holds = list(active_holds(at).filter(subject__in=subjects).order_by("pk"))
    held: dict[str, str] = {}
    for location in registry.in_order():
        for hold in holds:
            if not hold.locations or location.name in hold.locations:
                held.setdefault(location.name, f"Legal hold {hold.pk}: {hold.reason}"[:300])
        for before in location.erased_after:
            if before in held:
                held.setdefault(location.name, f"What {before} holds refers to it, and is kept by a legal hold.")
    if held:
        held.setdefault(HOLDS, "It states which rows are kept.")
    return held
