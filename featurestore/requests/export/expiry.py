"""End of exports that were downloaded, have expired, or whose request has ended, and of files that none needs."""

from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.db.models import Q

from featurestore.clock import database_now
from featurestore.requests.actors import SYSTEM
from featurestore.requests.export import folder
from featurestore.requests.export.errors import ExportNotPossible
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


class ExpiryResult(NamedTuple):
    """What one call ended and deleted, in numbers."""

    expired: int
    downloaded: int
    cancelled: int
    orphans: int


def expire_due(now: datetime | None = None) -> ExpiryResult:
    """End what is over and delete what is left. It may be repeated, and run beside another."""
    at = now or database_now()
    released = DataExport.objects.filter(state=ExportState.RELEASED, usable_until__lte=at)
    left = DataExport.objects.filter(state=ExportState.DOWNLOADED, ended_at=None)
    over = Q(tries_left=0) | Q(usable_until__lte=at) | Q(downloaded_at__lte=at - KEPT_AFTER_DOWNLOAD)
    useless = Q(request__state__in=WITHOUT_REASON) | Q(request__erased_at__isnull=False)
    expired = downloaded = cancelled = 0
    for pk in released.values_list("pk", flat=True)[:BATCH]:
        expired += _ended(lambda pk=pk: expire(pk, now))
    for pk in left.filter(over | useless).values_list("pk", flat=True)[:BATCH]:
        downloaded += _ended(lambda pk=pk: end_downloaded(pk, now))
    for pk in DataExport.objects.filter(useless, state__in=OPEN).values_list("pk", flat=True)[:BATCH]:
        cancelled += _ended(lambda pk=pk: cancel(pk, SYSTEM, "The request has ended.", now))
    return ExpiryResult(expired, downloaded, cancelled, delete_orphans())


def _ended(end) -> bool:  # type: ignore[no-untyped-def]  # a call without arguments
    """Whether an export was ended now; not if somebody did something else with it at the same time."""
    try:
        end()
    except ExportNotPossible as error:
        log.info("export not ended", reason=str(error))
        return False
    return True


def delete_orphans() -> int:
    """Delete the files in the export folder that no export needs; their number.

    An export's row is written before its first file, so that a file without one is nobody's.
    """
    needed = {
        (name, kind)
        for name, state, ended_at in DataExport.objects.filter(ended_at=None).values_list("name", "state", "ended_at")
        for kind in _kinds(ExportState(state))
    }
    orphans = [one for one in folder.files() if one not in needed]
    # Read again: an export may have begun, or gone on, since the rows were read.
    current = {
        (name, kind)
        for name, state in DataExport.objects.filter(name__in=[name for name, _ in orphans], ended_at=None).values_list(
            "name", "state"
        )
        for kind in _kinds(ExportState(state))
    }
    gone = [one for one in orphans if one not in current]
    for name, kind in gone:
        folder.delete(name, kind)
    if gone:
        log.warning("files of ended exports deleted", files=len(gone))
    return len(gone)


def _kinds(state: ExportState) -> tuple[str, ...]:
    """The files that an export needs in a state. A package may be complete before its row says so."""
    if state is ExportState.PACKING:
        return folder.SPOOL, folder.UNFINISHED, folder.PACKAGE
    if state in WITH_SPOOL:
        return (folder.SPOOL,)
    return (folder.PACKAGE,)
