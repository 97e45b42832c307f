"""Pauses: restriction of processing (GDPR Art 18), of one purpose or of all that a customer has, and its end."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q

from featurestore.consent.errors import NotPaused
from featurestore.consent.models import CurrentPermission, Purpose
from featurestore.consent.permission_derivation import Decision
from featurestore.consent.services.choice import Choice
from featurestore.consent.services.decisions import RecordedDecision, record_decisions


def pause(
    customer_id: str,
    purpose: str | None = None,
    *,
    method: str,
    actor: str,
    reason: str,
    now: datetime | None = None,
) -> list[RecordedDecision]:
    """Pause a purpose, or every purpose, on any lawful basis: nothing is counted or answered until it is lifted, and
    what was counted is kept. A purpose without a decision is paused too: a later consent stays paused.

    Must not be called within a transaction. Raises ConsentError.
    """
    names = [purpose] if purpose is not None else purposes_to_pause(customer_id)
    recorded = _record(Decision.PAUSED, customer_id, names, method, actor, reason, now)
    if purpose is None:  # one that was defined and granted meanwhile
        granted = [name for name in purposes_to_pause(customer_id) if name not in names]
        recorded += _record(Decision.PAUSED, customer_id, granted, method, actor, reason, now) if granted else []
    return recorded


def lift(
    customer_id: str,
    purpose: str | None = None,
    *,
    method: str,
    actor: str,
    reason: str,
    now: datetime | None = None,
) -> list[RecordedDecision]:
    """End the pause of a purpose, or all of the customer's: events from then on count, beside what was counted before
    the pause. A grant whose time was over meanwhile ends.

    Must not be called within a transaction. Raises ConsentError, NotPaused if nothing is paused.
    """
    names = [purpose] if purpose is not None else _paused_purposes(customer_id)
    if not names:
        raise NotPaused("No purpose of the customer is paused: there is nothing to lift.")
    return _record(Decision.LIFTED, customer_id, names, method, actor, reason, now)


def purposes_to_pause(customer_id: str) -> list[str]:
    """The purposes that are active, or whose grant is in force although they were retired."""
    in_force = Q(permissions__customer__customer_id=customer_id, permissions__allowed=True)
    found = Purpose.objects.filter(Q(active=True) | in_force).order_by("name").distinct()
    return list(found.values_list("name", flat=True))


def _record(
    decision: Decision,
    customer_id: str,
    purposes: Iterable[str],
    method: str,
    actor: str,
    reason: str,
    now: datetime | None,
) -> list[RecordedDecision]:
    choices = [Choice(customer_id, name, decision, method, actor, reason=reason) for name in purposes]
    return record_decisions(choices, now)


def _paused_purposes(customer_id: str) -> list[str]:
    paused = CurrentPermission.objects.filter(customer__customer_id=customer_id, paused=True)
    return list(paused.order_by("purpose__name").values_list("purpose__name", flat=True))
