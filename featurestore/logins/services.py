"""Writers of login events; the reset of a second factor."""

from datetime import UTC, datetime, timedelta

import structlog
from allauth.mfa.models import Authenticator
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from prometheus_client import Counter

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.config import settings
from featurestore.logins.models import LoginEvent, LoginLimit

Kind = LoginEvent.Kind
EVENTS = Counter("rapport_login_events", "Logins and changes of second factors.", ["kind"])
LIMITED = Counter("rapport_logins_limited", "Logins refused, unchecked, because of an account's or address's limit.")
log = structlog.get_logger(__name__)


@transaction.atomic
def record(kind: Kind, staff: str, *, address: str | None = None, actor: str = "", detail: str = "") -> None:
    """Record an event. A failed login's name is kept only if somebody has it.

    The audit log, which keeps its entries, gets all but failed logins, which strangers make; and no address.
    """
    known = staff if kind is not Kind.FAILED or User.objects.filter(username=staff).exists() else ""
    LoginEvent.objects.create(kind=kind, staff=known, address=address, actor=actor, detail=detail)
    if kind is not Kind.FAILED:
        append(Entry(f"login.{kind.value}", datetime.now(UTC), {"staff": known, "detail": detail}, actor or known))
    EVENTS.labels(kind.value).inc()
    log.info("login event", kind=kind.value, staff=known, actor=actor)


@transaction.atomic
def reset_second_factor(staff: User, *, actor: str, reason: str) -> int:
    """Delete a staff member's second factors and end their sessions, so that they set up a new one; their number."""
    removed, _ = Authenticator.objects.filter(user=staff).delete()
    end_sessions(staff)
    record(Kind.FACTOR_RESET, staff.get_username(), actor=actor, detail=reason)
    return removed


def end_sessions(staff: User) -> None:
    """Log a staff member out everywhere."""
    for session in Session.objects.filter(expire_date__gt=datetime.now(UTC)).iterator():
        if session.get_decoded().get(SESSION_KEY) == str(staff.pk):
            session.delete()


def prune() -> None:
    """Delete old events and expired counts."""
    now = datetime.now(UTC)
    LoginEvent.objects.filter(at__lt=now - timedelta(days=settings().login_event_days)).delete()
    LoginLimit.objects.filter(expires__lt=now).delete()
