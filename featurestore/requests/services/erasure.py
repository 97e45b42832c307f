"""Erasure in requests: who asked and what was said goes; type, times and outcome stay as proof."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from featurestore.clock import database_now
from featurestore.customers.models import Customer
from featurestore.requests.actors import SYSTEM
from featurestore.requests.models import CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.services.timeline import change_of
from featurestore.requests.states import ENDED, UNVERIFIED, Action, State
from featurestore.subjectkeys.fields import opened

ERASED = "the customer was erased"
BY_HAND, OF_NOBODY, REPEATED_WITHIN = timedelta(days=30), timedelta(days=30), timedelta(days=1)
BY_STAFF = (CustomerMessage.State.BY_HAND, CustomerMessage.State.FAILED)
ANSWERS = (CustomerMessage.Kind.ANSWER, CustomerMessage.Kind.REFUSAL)


def empty_requests(keys: Collection[int], now: datetime | None = None) -> int:
    """Empty the requests that have ended, of what names the customer and of texts; the number of requests.

    One that is verified and not answered, or has a message to be sent, needs its customer, if only for the answer. One
    that is answered is closed, one that nobody verified lapses: nothing can be done for it any more. Of an erasure the
    answer stays: it names nobody, and is the proof; it closes itself.
    """
    at = now or database_now()
    rows = SubjectRequest.objects.filter(~Exists(messages_to_come(at)), pk__in=keys)
    fields = {**dict.fromkeys(("customer_id", "subject", "details", "duplicate_key"), ""), "erased_at": at}
    for reference in list(rows.filter(state__in=UNVERIFIED).values_list("reference", flat=True)):
        with change_of(reference, at) as change:
            if change.request.state in UNVERIFIED:
                change.request.paused_at = None
                change.add(Action.LAPSE, SYSTEM, ERASED)
    answered = rows.filter(state=State.ANSWERED).exclude(type=RequestType.ERASURE)
    for reference in list(answered.values_list("reference", flat=True)):
        with change_of(reference, at) as change:
            if change.request.state == State.ANSWERED:
                change.add(Action.CLOSE, SYSTEM, ERASED)
    erasures = rows.filter(type=RequestType.ERASURE, state__in=(State.ANSWERED, State.CLOSED), erased_at=None)
    emptied_erasures = list(erasures)
    for request in emptied_erasures:
        _empty_but_for_answer(request, fields)
    others = rows.filter(state__in=ENDED, erased_at=None).update(**fields, answer="")
    emptied = SubjectRequest.objects.filter(pk__in=keys, erased_at=at)
    CustomerMessage.objects.filter(request__in=emptied).update(text="")
    return len(emptied_erasures) + others


def messages_to_come(at: datetime) -> QuerySet[CustomerMessage]:
    """The messages of a request that are still to be sent: by this installation, or an answer by staff, who have
    BY_HAND for it.
    """
    by_hand = Q(state__in=BY_STAFF, kind__in=ANSWERS, created_at__gt=at - BY_HAND)
    found = CustomerMessage.objects.filter(request=OuterRef("pk"))
    return found.filter(Q(state=CustomerMessage.State.QUEUED) | by_hand)


def prune(now: datetime | None = None) -> int:
    """Empty the requests that ended 30 days ago about whom no customer is registered, and forget by which repeats of
    requests that were emptied a day ago are known; the number of requests emptied.
    """
    at = now or database_now()
    registered = Customer.objects.filter(subject=OuterRef("subject"), erased_at=None)
    old = SubjectRequest.objects.filter(~Exists(registered), ended_at__lt=at - OF_NOBODY, erased_at=None)
    emptied = empty_requests(list(old.order_by("pk").values_list("pk", flat=True)[:1000]), at)
    SubjectRequest.objects.filter(erased_at__lt=at - REPEATED_WITHIN).exclude(idempotency_key="").update(
        idempotency_key="", request_digest=""
    )
    return emptied


def _empty_but_for_answer(request: SubjectRequest, fields: Mapping[str, Any]) -> None:
    """The answer is encrypted anew, by the installation's key: the customer's goes."""
    for name, value in {**opened(request), **fields}.items():
        setattr(request, name, value)
    request.save(update_fields=[*fields, "answer"])
