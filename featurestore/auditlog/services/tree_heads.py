"""Signing of tree heads, and introduction of their keys."""

from datetime import datetime, timedelta

import structlog
from django.db import transaction

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.errors import KeyUnusable, LogDamaged
from featurestore.auditlog.log_verifier import Head, Note, VerifierKey, key_text, parse_key_text
from featurestore.auditlog.models import SigningKey, TreeHead
from featurestore.auditlog.proofs import tree_root
from featurestore.auditlog.services.appending import append
from featurestore.auditlog.services.sequencing import lock_log
from featurestore.auditlog.signing_keys import SigningPair, signing_pairs
from featurestore.auditlog.stored_tree import StoredTree, stored_size
from featurestore.clock import database_now, milliseconds
from featurestore.config import settings

log = structlog.get_logger(__name__)


def sign_due(now: datetime | None = None) -> TreeHead | None:
    """Sign a tree head, if there are entries after the last one and that is old enough; None if not.

    The log is not signed if its rows no longer have what the last tree head signed. Raises LogDamaged, KeyUnusable.
    """
    with transaction.atomic():
        lock_log()
        at = now or database_now()
        last, size = TreeHead.objects.order_by("-size").first(), stored_size()
        if size == (last.size if last else 0):
            return None
        if last and last.at > at - timedelta(seconds=settings().audit_log_head_s):
            return None
        tree = StoredTree()
        if last:
            _check(tree, last, size)
        pair = _introduced(at)
        head = Head(size, tree_root(tree.node, size), milliseconds(at))
        return TreeHead.objects.create(size=size, at=at, note=pair.sign(head.text))


def _check(tree: StoredTree, last: TreeHead, size: int) -> None:
    signed = Head.parse(Note.parse(last.note).text)
    if signed.size > size or tree_root(tree.node, signed.size) != signed.root:
        raise LogDamaged(
            f"The audit log has no longer what its tree head of {signed.size} entries signed, and is not signed again. "
            "Run `manage.py auditlog verify`, which names the entries."
        )


def _introduced(at: datetime) -> SigningPair:
    """The key that signs. A new one is introduced first, by the newest that the provider still has."""
    pairs = signing_pairs()
    known = {str(parse_key_text(Note.parse(row.note).text)) for row in SigningKey.objects.all()}
    first = pairs[0]
    if str(first.public) in known:
        return first
    by = next((pair for pair in pairs if str(pair.public) in known), None if known else first)
    if by is None:
        raise KeyUnusable(
            f"No key that signed before introduces {first.public.name}. Put an earlier key after it into the audit "
            "log's keys, until a tree head was signed."
        )
    _introduce(first.public, by, at)
    return first


def _introduce(key: VerifierKey, by: SigningPair, at: datetime) -> None:
    SigningKey.objects.create(name=key.name, note=by.sign(key_text(key, milliseconds(at))), added_at=at)
    append(Entry("audit_log.key_added", at, {"key": str(key), "introduced_by": by.public.name}, "system"))
    log.info("audit log key introduced", key=key.name, introduced_by=by.public.name)
