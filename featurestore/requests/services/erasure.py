"""Erasure in requests: who asked and what was said goes; type, times and outcome stay as proof."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from featurestore.clock import database_now
from featurestore.requests.actors import SYSTEM
from featurestore.requests.models import CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.services.timeline import change_of
from featurestore.requests.states import ENDED, Action, State
from featurestore.subjectkeys.fields import opened

ERASED = "the customer was erased"


def empty_requests(keys: Collection[int], now: datetime | None = None) -> int:
    """Empty the requests that have ended, of what names the customer and of texts; the number of requests.

    One that is not answered, or has a message to be sent, needs its customer, if only for the answer. One that is
    answered is closed: nothing can be done for it any more. Of an erasure the answer stays: it names nobody, and is the
    proof; it closes itself.
    """
    at = now or database_now()
    rows = SubjectRequest.objects.filter(pk__in=keys).exclude(messages__state=CustomerMessage.State.QUEUED)
    fields = {
        **dict.fromkeys(("customer_id", "subject", "details", "duplicate_key"), ""),
        **dict.fromkeys(("idempotency_key", "request_digest"), ""),
        "erased_at": at,
    }
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


def _empty_but_for_answer(request: SubjectRequest, fields: Mapping[str, Any]) -> None:
    """The answer is encrypted anew, by the installation's key: the customer's goes."""
    for name, value in {**opened(request), **fields}.items():
        setattr(request, name, value)
    request.save(update_fields=[*fields, "answer"])
