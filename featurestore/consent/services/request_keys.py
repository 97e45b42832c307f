"""Keys of requests that may be sent again: a repeat records nothing and gets the first answer."""

import hmac
from collections.abc import Iterable
from typing import NamedTuple

from featurestore.consent.errors import IdempotencyKeyReused
from featurestore.consent.models import ConsentRecord


class RequestKey(NamedTuple):
    """Keyed hashes of a client's idempotency key, and of the request that it came with. Neither reveals its text."""

    key: str
    digest: str


def request_key(client: str, key: str, request: bytes, secret: bytes) -> RequestKey:
    """The key of a client's request. Keys of different clients are different."""
    identity, content = f"idempotency-key\0{client}\0{key}".encode(), b"request\0" + request
    return RequestKey(hmac.digest(secret, identity, "sha256").hex(), hmac.digest(secret, content, "sha256").hex())


class RecordedRequests:
    """Consent records of requests that were recorded before. The change sequence must be locked: then a request that
    is sent twice at once is recorded once.
    """

    def __init__(self, keys: Iterable[RequestKey | None]) -> None:
        wanted = {key.key for key in keys if key is not None}
        records = ConsentRecord.objects.filter(idempotency_key__in=wanted) if wanted else ()
        self._records = {record.idempotency_key: record for record in records}

    def add(self, record: ConsentRecord) -> None:
        """Add the record of a request of this transaction."""
        if record.idempotency_key:
            self._records[record.idempotency_key] = record

    def find(self, key: RequestKey | None) -> ConsentRecord | None:
        """The record of a request, or None. Raises IdempotencyKeyReused if another request had its key."""
        found = self._records.get(key.key) if key is not None else None
        if found is not None and key is not None and found.request_digest != key.digest:
            raise IdempotencyKeyReused(
                "An earlier request with this Idempotency-Key had another body. Give each request a key of its own."
            )
        return found
