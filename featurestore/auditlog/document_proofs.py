"""Proofs of issued documents, from the rows of the audit log."""

from typing import Any, NamedTuple

from featurestore.auditlog.document_verifier import FORMAT, ISSUED, proof_text
from featurestore.auditlog.export import key_notes
from featurestore.auditlog.models import EntryContent, WaitingEntry
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
