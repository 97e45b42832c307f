"""Download of a package: each one takes a try, which the database counts, whatever happens to the connection."""

from datetime import datetime
from typing import BinaryIO, NamedTuple

import structlog
from django.db.models import F

from featurestore.clock import database_now
from featurestore.requests.actors import CUSTOMER
from featurestore.requests.export.errors import LinkRefused
from featurestore.requests.export.folder import PACKAGE, path_of
from featurestore.requests.export.link import REFUSED, digest_of
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.services.changes import export_change
from featurestore.requests.export.states import ExportAction, ExportState

DOWNLOADABLE = (ExportState.RELEASED, ExportState.DOWNLOADED)
log = structlog.get_logger(__name__)


class Download(NamedTuple):
    """A package to send, opened."""

    export: DataExport
    file: BinaryIO


def take_try(link: str, now: datetime | None = None) -> Download:
    """Take one of a link's tries, and open the package. Raises LinkRefused, with one text for whatever is wrong.

    The try is taken by one conditional update: of downloads at once no more succeed than there are tries.
    """
    at = now or database_now()
    usable = DataExport.objects.filter(
        link_digest=digest_of(link), state__in=DOWNLOADABLE, ended_at=None, usable_until__gt=at, tries_left__gt=0
    )
    export = usable.select_related("request").first()
    if export is None:
        raise LinkRefused(REFUSED)
    try:
        file = path_of(export.name, PACKAGE).open("rb")
    except FileNotFoundError:
        log.error("package of a released export is missing", export=export.pk, remedy="let all hosts share the folder")
        raise LinkRefused(REFUSED) from None
    if not usable.update(tries_left=F("tries_left") - 1):
        file.close()
        raise LinkRefused(REFUSED)
    return Download(export, file)


def delivered(export_pk: int, now: datetime | None = None) -> None:
    """Record that the whole package was sent. Raises ExportNotPossible if it has ended meanwhile."""
    with export_change(export_pk, ExportAction.DOWNLOAD, CUSTOMER, now=now) as export:
        export.downloaded_at = export.downloaded_at or export.changed_at
