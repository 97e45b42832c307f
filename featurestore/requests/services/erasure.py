"""Erasure in requests: who asked and what was said goes; type, times and outcome stay as proof."""

from collections.abc import Collection
from datetime import datetime

from featurestore.clock import database_now
from featurestore.requests.models import SubjectRequest
from featurestore.requests.states import ENDED


def empty_requests(keys: Collection[int], now: datetime | None = None) -> int:
    """Empty the requests that have ended, of what names the customer and of texts; the number of requests.

    One that has not ended needs its customer, if only for the answer.
    """
    ended = SubjectRequest.objects.filter(pk__in=keys, state__in=ENDED)
    return ended.update(
        customer_id="",
        subject="",
        encrypted_details="",
        encrypted_answer="",
        duplicate_key="",
        idempotency_key="",
        request_digest="",
        erased_at=now or database_now(),
    )
