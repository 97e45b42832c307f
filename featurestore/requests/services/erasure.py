"""Erasure in requests: who asked and what was said goes; type, times and outcome stay as proof."""

from collections.abc import Collection
from datetime import datetime

from featurestore.clock import database_now
from featurestore.requests.models import CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.states import ENDED, State


def empty_requests(keys: Collection[int], now: datetime | None = None) -> int:
    """Empty the requests that have ended, of what names the customer and of texts; the number of requests.

    One that has not ended, or has a message to be sent, needs its customer, if only for the answer. Of an erasure the
    answer stays: it names nobody, and is the proof.
    """
    at = now or database_now()
    rows = SubjectRequest.objects.filter(pk__in=keys).exclude(messages__state=CustomerMessage.State.QUEUED)
    fields = {
        **dict.fromkeys(("customer_id", "subject", "encrypted_details", "duplicate_key"), ""),
        **dict.fromkeys(("idempotency_key", "request_digest"), ""),
        "erased_at": at,
    }
    erasures = rows.filter(type=RequestType.ERASURE, state__in=(State.ANSWERED, State.CLOSED)).update(**fields)
    others = rows.filter(state__in=ENDED, erased_at=None).update(**fields, encrypted_answer="")
    emptied = SubjectRequest.objects.filter(pk__in=keys, erased_at=at)
    CustomerMessage.objects.filter(request__in=emptied).update(encrypted_text="")
    return erasures + others
