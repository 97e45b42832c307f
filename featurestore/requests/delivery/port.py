"""The delivery port: which way a message takes, by the kind of its contact."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from featurestore.requests.delivery import email, webhook
from featurestore.requests.delivery.outgoing import Outgoing
from featurestore.requests.models import Contact


class Way(NamedTuple):
    """A way of delivery, and whether this installation has it."""

    available: Callable[[], bool]
    send: Callable[[Outgoing], None]


WAYS: dict[str, Way] = {
    Contact.Kind.EMAIL: Way(email.available, email.send),
    Contact.Kind.WEBHOOK: Way(webhook.available, webhook.send),
}


def contact_of(subject: str, other_than: Collection[str] = ()) -> Contact | None:
    """The newest contact of a subject that a message can be sent to, by another way than these; None without one."""
    if not subject:
        return None
    kinds = [kind for kind, way in WAYS.items() if way.available() and kind not in other_than]
    return Contact.objects.filter(subject=subject, kind__in=kinds).order_by("-recorded_at", "-pk").first()
