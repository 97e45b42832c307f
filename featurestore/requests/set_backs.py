"""Set-backs of the database's clock: what had expired before one does not become valid again.

The highest time that was seen is stored, by a task every few seconds and by whoever makes or reads a link or a code. A
present far before it is a set-back: it is counted, and ends every code. A link states the number of set-backs at which
it was made, and is valid at no other. So a clock that was ahead, and is corrected, ends what was made before, too.
"""

from datetime import datetime, timedelta

import structlog
from django.db import transaction

from featurestore.requests.models import RequestClock, VerificationCode

TOLERANCE = timedelta(minutes=1)
"""Corrections up to this are none: what expired so long ago may be valid again until the clock has caught up."""
STEP = timedelta(seconds=10)
"""The stored time is so far behind the present at most when it is read: it is not written by every reader."""
ONLY = 1
log = structlog.get_logger(__name__)


def set_backs(now: datetime) -> int:
    """The number of set-backs up to the present, ``now``."""
    clock, _ = RequestClock.objects.get_or_create(pk=ONLY, defaults={"highest_at": now})
    unchanged = RequestClock.objects.filter(pk=ONLY, highest_at=clock.highest_at, set_backs=clock.set_backs)
    if now < clock.highest_at - TOLERANCE:
        with transaction.atomic():
            if not unchanged.update(highest_at=now, set_backs=clock.set_backs + 1):
                return RequestClock.objects.get(pk=ONLY).set_backs  # somebody else has counted it
            VerificationCode.objects.filter(current=True).update(current=False)
        log.warning("clock of the database was set back", seconds=round((clock.highest_at - now).total_seconds()))
        return clock.set_backs + 1
    if now >= clock.highest_at + STEP:
        unchanged.update(highest_at=now)
    return clock.set_backs
