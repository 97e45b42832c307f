"""Proofs of issued documents, and verification by the log itself, from the rows of the audit log."""

from datetime import datetime
from typing import Any, NamedTuple

from featurestore.auditlog.document_verifier import (
    FORMAT,
    ISSUED,
    DocumentRefused,
    VerifiedDocument,
    proof_text,
    verify_document,
)
from featurestore.auditlog.export import key_notes
from featurestore.auditlog.log_verifier import Head, Note, Unreadable, parse_key_text
from featurestore.auditlog.models import EntryContent, SigningKey, TreeHead, WaitingEntry
from featurestore.auditlog.proofs import inclusion_proof
from featurestore.auditlog.selectors import last_head
from featurestore.auditlog.stored_tree import StoredTree


class DocumentProof(NamedTuple):
    """Whether a document was issued; and its proof and the notes of the keys, once a tree head covers its entry."""

    issued: bool
    proof: str | None = None
    keys: tuple[str, ...] = ()

    def signed(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """The signed document, as ``document_verifier.py`` reads it; None without a proof."""
        if self.proof is None:
            return None
        return {"format": FORMAT, "document": document, "proof": self.proof, "keys": list(self.keys)}


class LoggedDocument(NamedTuple):
    """A document that holds and is in the log; when the key that signed it was introduced."""

    verified: VerifiedDocument
    key_since: datetime


def published_keys() -> list[tuple[str, datetime]]:
    """Every key that signed the log, with the time of its introduction, in order."""
    rows = SigningKey.objects.order_by("pk").values_list("note", "added_at")
    return [(str(parse_key_text(Note.parse(note).text)), at) for note, at in rows]


def verify_logged(text: str) -> LoggedDocument:
    """Verify a document by the keys of the log, and its tree head by those that the log stores: who stole the key can
    sign another one. Raises Unreadable, DocumentRefused.
    """
    keys = dict(published_keys())
    if not keys:
        raise Unreadable("nothing was signed here yet")
    found = verify_document(text, keys)
    stored = TreeHead.objects.filter(pk=found.head.size).first()
    if stored is None or Head.parse(Note.parse(stored.note).text) != found.head:
        raise DocumentRefused(
            f"The log has no such tree head of {found.head.size} entries, although its key signed it."
        )
    if (since := keys.get(str(found.key))) is None:
        raise DocumentRefused(f"The key {found.key.name} that signed it was introduced, and is none of the log.")
    return LoggedDocument(found, since)


def proof_of_document(digest: str, subject: str) -> DocumentProof:
    """The proof of the document of a customer with this SHA-256, by the first entry that says it was issued."""
    wanted = {"subject": subject, "content__contains": f'"sha256":"{digest}"'}
    kind = f'"type":"{ISSUED}"'
    waiting = WaitingEntry.objects.filter(**wanted).filter(content__contains=kind).exists()
    found = EntryContent.objects.filter(**wanted).filter(content__contains=kind).order_by("index").first()
    if found is None:
        return DocumentProof(issued=waiting)
    head = last_head()
    if head is None or head.size <= found.index:
        return DocumentProof(issued=True)
    extra = bytes(found.salt) + found.content.encode()
    hashes = inclusion_proof(StoredTree().node, found.index, head.size)
    return DocumentProof(True, proof_text(extra, found.index, hashes, head.note), tuple(key_notes()))
