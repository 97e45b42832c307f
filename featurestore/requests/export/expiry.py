"""Expiry: ends exports that were downloaded, expired, or whose request has ended, and deletes files that none needs."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.db.models import Q

from featurestore.clock import database_now
from featurestore.requests.actors import SYSTEM
from featurestore.requests.export import folder
from featurestore.requests.export.errors import ExportNotPossible
from featurestore.requests.export.handover import forget_passphrases
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.services.ends import cancel, end_downloaded, expire
from featurestore.requests.export.states import OPEN, WITH_SPOOL, ExportState
from featurestore.requests.states import State

KEPT_AFTER_DOWNLOAD = timedelta(hours=1)
"""So long a link works on after a download, as a connection that broke at the end looks like a complete one here."""
WITHOUT_REASON = frozenset({State.REFUSED, State.WITHDRAWN, State.DUPLICATE, State.LAPSED})
"""States of a request that has no use for an export any more."""
BATCH = 500
log = structlog.get_logger(__name__)


class EndedExports(NamedTuple):
    """What was ended and deleted, in numbers."""

    expired: int
    downloaded: int
    cancelled: int
    orphans: int


def end_overdue(now: datetime | None = None) -> EndedExports:
    """End what is over and delete what is left. It may be repeated, and run beside another."""
    at = now or database_now()
    released = DataExport.objects.filter(state=ExportState.RELEASED, usable_until__lte=at)
    left = DataExport.objects.filter(state=ExportState.DOWNLOADED, ended_at=None)
    over = Q(tries_left=0) | Q(usable_until__lte=at) | Q(downloaded_at__lte=at - KEPT_AFTER_DOWNLOAD)
    useless = Q(request__state__in=WITHOUT_REASON) | Q(request__erased_at__isnull=False)
    expired = downloaded = cancelled = 0
    for pk in released.values_list("pk", flat=True)[:BATCH]:
        expired += _ended(expire, pk, now)
    for pk in left.filter(over | useless).values_list("pk", flat=True)[:BATCH]:
        downloaded += _ended(end_downloaded, pk, now)
    for pk in DataExport.objects.filter(useless, state__in=OPEN).values_list("pk", flat=True)[:BATCH]:
        cancelled += _ended(cancel, pk, SYSTEM, "The request has ended.", now)
    forget_passphrases(at)
    return EndedExports(expired, downloaded, cancelled, delete_orphans())


def _ended(end: Callable[..., object], *arguments: Any) -> bool:
    """Whether an export was ended now; not if somebody did something else with it at the same time."""
    try:
        end(*arguments)
    except ExportNotPossible as error:
        log.info("export not ended", reason=str(error))
        return False
    return True


def delete_orphans() -> int:
    """Delete the files in the export folder that no export needs; their number.

    The files are listed before the rows are read, and a row is written before its first file: a file that is listed and
    that no row needs is nobody's.
    """
    found = list(folder.files())
    rows = DataExport.objects.filter(name__in={name for name, _ in found}, ended_at=None).values_list("name", "state")
    needed = {(name, kind) for name, state in rows for kind in _kinds(ExportState(state))}
    orphans = [one for one in found if one not in needed]
    for name, kind in orphans:
        folder.delete(name, kind)
    if orphans:
        log.warning("files of ended exports deleted", files=len(orphans))
    return len(orphans)


def _kinds(state: ExportState) -> tuple[str, ...]:
    """The files that an export needs in a state. A package may be complete before its row says so."""
    if state is ExportState.PACKING:
        return folder.SPOOL, folder.UNFINISHED, folder.PACKAGE
    if state in WITH_SPOOL:
        return (folder.SPOOL,)
    return (folder.PACKAGE,)
