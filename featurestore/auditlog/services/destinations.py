"""Sending of tree heads to places elsewhere, where whoever can write to the database can't write.

A place gets the newest tree head; those between two attempts are covered by it. A log that has fewer entries than a
tree head that was sent is not sent: its end was removed.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from featurestore.auditlog.models import HeadDestination, TreeHead
from featurestore.auditlog.selectors import last_head
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.jobs.job_leases import hold_job_lease
from featurestore.key_providers import FILE
from featurestore.signed_webhooks import Post, WebhookFailed, post, send_webhook

FILE_NAME = "audit-log-tree-heads.txt"
TYPE = "audit_log.tree_head"
LEASE_S = 60
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)
log = structlog.get_logger(__name__)


class SendingFailed(Exception):
    """A tree head that did not arrive; the text says why."""


def send_heads(now: datetime | None = None, post: Post = post) -> int:
    """Send the newest tree head to each place that lacks it and is due; the number of places that got it."""
    addresses, head = settings().audit_log_places, last_head()
    if not addresses or head is None:
        return 0
    with hold_job_lease("auditlog.send", LEASE_S, now) as lease:
        if lease is None:
            return 0
        at = now or database_now()
        return sum(_send_due(address, head, at, post) for address in addresses)


def _send_due(address: str, head: TreeHead, at: datetime, post: Post) -> bool:
    place, _ = HeadDestination.objects.get_or_create(address=address)
    if place.size == head.size or (place.next_attempt_at and place.next_attempt_at > at):
        return False
    try:
        if place.size > head.size:
            raise SendingFailed(f"The log has {head.size} entries, and a tree head of {place.size} was sent here.")
        _send(address, head, at, post)
    except SendingFailed as error:
        place.attempts += 1
        place.next_attempt_at = at + min(FIRST_WAIT * 2 ** min(place.attempts - 1, 10), LONGEST_WAIT)
        place.error = str(error)[:300]
        place.save()
        log.warning("tree head not sent", place=address, error=place.error)
        return False
    place.size, place.sent_at, place.attempts, place.next_attempt_at, place.error = head.size, at, 0, None, ""
    place.save()
    return True


def _send(address: str, head: TreeHead, at: datetime, post: Post) -> None:
    if address.startswith(FILE):
        _append(Path(address.removeprefix(FILE)) / FILE_NAME, head)
        return
    data = {"note": head.note, "size": head.size}
    try:
        send_webhook(
            address, settings().audit_log_send_secret, f"tree-head-{head.size}", TYPE, data, at.timestamp(), post
        )
    except WebhookFailed as error:
        raise SendingFailed(str(error)) from None


def _append(path: Path, head: TreeHead) -> None:
    """Append the tree head, and wait until it is on disk. What a crash left of one is ended first."""
    try:
        with open(path, "ab+") as opened:
            opened.seek(max(opened.tell() - 1, 0))
            separator = b"" if opened.read(1) in (b"", b"\n") else b"\n"
            opened.write(separator + head.note.encode())
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise SendingFailed(f"The file {FILE_NAME} can't be written: {error.strerror}.") from None
