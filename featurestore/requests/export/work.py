"""Work on exports: one Celery worker at a time collects and packs, a slice of each export in turn."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import structlog

from featurestore.clock import database_now
from featurestore.jobs.job_leases import HeldJobLease, hold_job_lease
from featurestore.requests.export.collection import collect
from featurestore.requests.export.errors import FolderFull, SpoolDamaged
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.packing import pack
from featurestore.requests.export.services.ends import fail
from featurestore.requests.export.states import IN_WORK, ExportState
from featurestore.requests.export.waiting import SPACE, wait

LEASE, LEASE_S = "exports", 120.0
LONGEST_S = 600.0
log = structlog.get_logger(__name__)


def advance(now: datetime | None = None, monotonic: Callable[[], float] = time.monotonic) -> int:
    """Work until nothing is due, or for LONGEST_S and a slice; the number of slices. 0 while another process works."""
    slices, end = 0, monotonic() + LONGEST_S
    with hold_job_lease(LEASE, LEASE_S, now) as held:
        if held is None:
            return 0
        again = True
        while again and monotonic() < end:
            again = False
            for export in _due(now or database_now()):
                again |= _work(export, held, now)
                slices += 1
    return slices


def _due(at: datetime) -> Iterator[DataExport]:
    """The exports to work on, by turns: each is loaded when its turn comes."""
    due = DataExport.objects.filter(state__in=IN_WORK, next_attempt_at__lte=at).order_by("pk")
    for pk in list(due.values_list("pk", flat=True)):
        found = due.filter(pk=pk).select_related("request").first()
        if found is not None:
            yield found


def _work(export: DataExport, held: HeldJobLease, now: datetime | None) -> bool:
    """A slice of one export; whether there may be more to do at once."""
    try:
        if not held.renew():
            return False
        if export.state == ExportState.PACKING:
            pack(export, held.renew, now)
            return False
        return collect(export, held.renew, now)
    except FolderFull as error:
        wait(export, SPACE, str(error), now)
        return False
    except SpoolDamaged as error:
        log.error("export failed", export=export.pk, reason=str(error))
        fail(export.pk, str(error), now)
        return False
