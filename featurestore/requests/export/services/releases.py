"""Release of a reviewed export: by one person, or by a second one where RAPPORT_EXPORTS_NEED_APPROVAL is on."""

from datetime import datetime, timedelta
from typing import NamedTuple

from featurestore.config import settings
from featurestore.requests.actors import SYSTEM, Actor
from featurestore.requests.contact_box import decrypt, encrypt
from featurestore.requests.export import folder
from featurestore.requests.export.errors import ReleaseNeedsAnother
from featurestore.requests.export.handover import queue_messages
from featurestore.requests.export.link import digest_of, new_link
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.services.changes import export_change
from featurestore.requests.export.states import ExportAction, ExportState
from featurestore.requests.services.timeline import required

REVIEWS = (ExportAction.REDACT, ExportAction.KEEP)


class Delivery(NamedTuple):
    """What opens a package: the secret part of the link's address, and the passphrase. They go by different ways."""

    link: str
    passphrase: str


def propose(export_pk: int, actor: Actor, reason: str = "", now: datetime | None = None) -> DataExport:
    """State that the review is complete, and ask a second person to release it. Raises RequestError."""
    with export_change(export_pk, ExportAction.PROPOSE, actor, reason, now) as export:
        export.proposed_by = actor.name[:150]
    return export


def return_to_review(export_pk: int, actor: Actor, reason: str, now: datetime | None = None) -> DataExport:
    """Return it to review. Raises RequestError."""
    why = required(reason, "what must be reviewed again")
    with export_change(export_pk, ExportAction.RETURN, actor, why, now) as export:
        export.proposed_by = ""
    return export


def release(export_pk: int, actor: Actor, reason: str = "", now: datetime | None = None) -> DataExport:
    """Release the package, which is written next. Raises ReleaseNeedsAnother, RequestError.

    Where two persons must, it was proposed, and who releases has neither prepared nor proposed it, and
    withheld and put back nothing.
    """
    with export_change(export_pk, ExportAction.RELEASE, actor, reason, now) as export:
        if settings().exports_need_approval:
            if export.state != ExportState.TO_RELEASE:
                raise ReleaseNeedsAnother("Propose the release first: another person decides it.")
            reviewed = export.request.events.filter(kind__in=REVIEWS, detail__export=export.pk)
            busy = {export.prepared_by, export.proposed_by, *reviewed.values_list("actor", flat=True)}
            if not actor.name or actor.name in busy:
                raise ReleaseNeedsAnother("You prepared, reviewed or redacted this export: another person releases it.")
        export.released_by = actor.name[:150]
        export.next_attempt_at = export.changed_at
    return export


def packed(export_pk: int, passphrase: str, package_bytes: int, now: datetime | None = None) -> DataExport:
    """Record that the package was written under this passphrase; its link begins, the messages to the customer are
    queued, and the spool ends.
    """
    conf, link = settings(), new_link()
    with export_change(export_pk, ExportAction.PACKED, SYSTEM, now=now, bytes=package_bytes) as export:
        export.encrypted_passphrase, export.encrypted_link = encrypt(passphrase), encrypt(link)
        export.link_digest = digest_of(link)
        export.released_at, export.package_bytes = export.changed_at, package_bytes
        export.usable_until = export.changed_at + timedelta(days=conf.export_link_days)
        export.tries_left = conf.export_tries
        export.encrypted_key, export.spool_bytes, export.problem = "", 0, ""
        export.waiting_for, export.waiting_since, export.attempts = "", None, 0
        export.spool_parts.all().delete()
        queue_messages(export)
    folder.delete(export.name, folder.SPOOL)
    return export


def show_link(export_pk: int, actor: Actor, now: datetime | None = None) -> Delivery:
    """Link and passphrase of a package, for the person who gives them to the customer; the timeline says who saw them.

    Raises RequestError.
    """
    with export_change(export_pk, ExportAction.SHOW, actor, now=now) as export:
        return Delivery(decrypt(export.encrypted_link), decrypt(export.encrypted_passphrase))
