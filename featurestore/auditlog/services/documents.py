"""Issue of documents: an entry with the hash of the document, by which it is proven once a tree head covers it."""

from datetime import datetime
from typing import Any

from django.db import transaction

from featurestore.auditlog.document_proofs import proof_of_document
from featurestore.auditlog.document_verifier import ISSUED, digest_of
from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services.appending import append


def signed_document(
    kind: str, document: dict[str, Any], *, subject: str, actor: str, now: datetime
) -> dict[str, Any] | None:
    """A document with its proof; None while no tree head covers its entry: ask again in a minute.

    ``subject``: the customer whom it is about; empty, if it names none. The first call appends the entry; an equal
    document is not issued twice. Only Celery workers need the key. Raises Unreadable for a document without
    canonical JSON.
    """
    digest = digest_of(document)
    proof = proof_of_document(digest, subject)
    if not proof.issued:
        with transaction.atomic():
            append(Entry(ISSUED, now, {"kind": kind, "sha256": digest}, actor, subject))
    return proof.signed(document)
