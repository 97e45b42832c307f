"""Ends of an export. Each deletes files, keys and link; what was found, in numbers, and what was withheld stays."""

from datetime import datetime

from django.db import transaction

from featurestore.clock import database_now
from featurestore.requests.actors import SYSTEM, Actor
from featurestore.requests.export import folder
from featurestore.requests.export.handover import Kind, cancel_messages, passphrase_is_owed
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.services.changes import export_change
from featurestore.requests.export.states import ExportAction, ExportState
from featurestore.requests.services.timeline import required


def cancel(export_pk: int, actor: Actor, reason: str, now: datetime | None = None) -> None:
    """Cancel an export. Raises RequestError."""
    _end(export_pk, ExportAction.CANCEL, actor, required(reason, "why it is cancelled"), now)


def expire(export_pk: int, now: datetime | None = None) -> None:
    """End an export whose package nobody downloaded in time. Raises RequestError."""
    _end(export_pk, ExportAction.EXPIRE, SYSTEM, "", now)


def fail(export_pk: int, problem: str, now: datetime | None = None) -> None:
    """End an export that can't be written, with the reason. Raises RequestError."""
    _end(export_pk, ExportAction.FAIL, SYSTEM, problem[:300], now)


def end_downloaded(export_pk: int, now: datetime | None = None) -> None:
    """Delete the package of an export that was downloaded. A passphrase that is still owed is kept for its customer."""
    with transaction.atomic():
        left = DataExport.objects.filter(pk=export_pk, state=ExportState.DOWNLOADED, ended_at=None)
        found = left.select_for_update().first()
        if found is None:
            return
        found.ended_at = max(found.changed_at, now or database_now())
        owed = passphrase_is_owed(found, found.ended_at)
        passphrase = found.encrypted_passphrase if owed else ""
        cancel_messages(found, *([Kind.EXPORT_LINK] if owed else []))
        _forget(found)
        found.encrypted_passphrase = passphrase
        found.save()
    folder.delete(found.name)


def _end(export_pk: int, action: ExportAction, actor: Actor, reason: str, now: datetime | None) -> None:
    with export_change(export_pk, action, actor, reason, now) as export:
        export.ended_at = export.changed_at
        export.problem = reason if action is ExportAction.FAIL else ""
        cancel_messages(export)
        _forget(export)
    folder.delete(export.name)


def _forget(export: DataExport) -> None:
    """Empty keys and link: without them no file that was copied before can be read."""
    export.encrypted_key = export.encrypted_passphrase = export.encrypted_link = export.link_digest = ""
    export.location, export.cursor, export.waiting_for, export.waiting_since = "", None, "", None
    export.tries_left = export.spool_bytes = 0
    export.spool_parts.all().delete()
