"""Unused: what nobody read in the period, and what is collected and never used (GDPR, Article 5(1)(c)).

A purpose, client or service is unused if no read of the period named it; a view, if no read was given values of it; a
field of an event source, if no view aggregates it or filters by it, whatever the period is.
"""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Exists, OuterRef

from featurestore.access.models import ApiClient
from featurestore.accesslog.models import AccessRecord, ReadContext
from featurestore.clock import database_now
from featurestore.compliance.errors import UnsoundPeriod
from featurestore.compliance.report import PAGE, Column, ColumnType, Period, Report, Row
from featurestore.compliance.reports.access_log import completeness
from featurestore.compliance.reports.processing_records import used_fields
from featurestore.config import settings
from featurestore.consent.models import Purpose
from featurestore.installed_catalog import catalog

COLUMNS = (
    Column("kind", ColumnType.TEXT, "purpose, client, service, view or field"),
    Column("name", ColumnType.TEXT, "its name; of a field: the source, a point and the field"),
    Column("exists_since", ColumnType.TIME, "when it was created, if that is known"),
    Column("finding", ColumnType.TEXT, "why it is listed"),
)
PERIOD = timedelta(days=90)
"""Length of the period if none is asked for."""
NEVER_NAMED, NEVER_GIVEN, NEVER_USED = "no read named it", "no read was given it", "no view uses it"


def _rows(period: Period) -> Iterator[Row]:
    since = period.since or period.until - PERIOD
    kept_days = settings().access_record_days
    if since < database_now() - timedelta(days=kept_days):
        raise UnsoundPeriod(
            f"Access records are kept for {kept_days} days (RAPPORT_ACCESS_RECORD_DAYS), and the period begins before: "
            "what seems unused may have been read. Let it begin later."
        )
    purposes, clients, services, views = _read(Period(since, period.until))
    registry = catalog().registry
    for purpose in Purpose.objects.filter(active=True, created_at__lt=period.until).order_by("name"):
        if purpose.name not in purposes:
            yield "purpose", purpose.name, purpose.created_at, NEVER_NAMED
    for client in ApiClient.objects.filter(active=True, created_at__lt=period.until).order_by("name").iterator(PAGE):
        if client.name not in clients:
            yield "client", client.name, client.created_at, NEVER_NAMED
    for service in sorted(registry.services.keys() - services):
        yield "service", service, None, NEVER_NAMED
    for view in sorted(registry.views.keys() - views):
        yield "view", view, None, NEVER_GIVEN
    for name, source in sorted(registry.sources.items()):
        used = set[str]().union(*(used_fields(view) for view in registry.views.values() if view.source is source))
        for field in sorted(source.fields.keys() - used):
            yield "field", f"{name}.{field}", None, NEVER_USED


def _read(period: Period) -> tuple[set[str], set[str], set[str], set[str]]:
    """Purposes, clients and services that reads of the period named, and views that they were given."""
    within = AccessRecord.objects.filter(period.of("at"), context=OuterRef("pk"))
    purposes, clients, services, views = set[str](), set[str](), set[str](), set[str]()
    found = ReadContext.objects.filter(Exists(within)).values_list("purpose", "client", "service", "given")
    for purpose, client, service, given in found.iterator(PAGE):
        purposes.add(purpose)
        clients.add(client)
        services.add(service)
        views.update(given)
    return purposes, clients, services, views


def _notes(period: Period) -> list[str]:
    return completeness(Period(period.since or period.until - PERIOD, period.until))


UNUSED = Report("unused", "Unused: never read", "None of customers.", COLUMNS, _rows, _notes)
