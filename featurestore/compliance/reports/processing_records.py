"""Records of processing (GDPR, Article 30): a row for each purpose and view, from what the system enforces.

A read is refused if the purpose, the view or the client's credential lacks it. So these rows are what can happen, and
no statement of what somebody intends.
"""

from collections import defaultdict
from collections.abc import Iterator

from django.db.models import Q

from featurestore.access.models import ApiClient, ApiKey, ClientSecret
from featurestore.clock import database_now
from featurestore.compliance.report import Column, ColumnType, Period, Report, Row, joined
from featurestore.config import settings
from featurestore.consent.models import Purpose
from featurestore.definitions import FeatureView
from featurestore.installed_catalog import catalog

COLUMNS = (
    Column("purpose", ColumnType.TEXT, "purpose of the processing"),
    Column("title", ColumnType.TEXT, "its title, as customers see it"),
    Column("lawful_basis", ColumnType.TEXT, "its basis under GDPR Article 6"),
    Column("validity_days", ColumnType.INTEGER, "days after which a consent ends; empty: it has no end"),
    Column("active", ColumnType.BOOLEAN, "whether it can be allowed at all: a retired purpose is denied to everybody"),
    Column("view", ColumnType.TEXT, "feature view that is kept for it; empty: none is"),
    Column("view_description", ColumnType.TEXT, "what the view is about"),
    Column("owner", ColumnType.TEXT, "the team that is responsible for the view"),
    Column("source", ColumnType.TEXT, "events that the view is computed from"),
    Column("source_fields", ColumnType.TEXT, "fields of these events that the view uses"),
    Column("features", ColumnType.INTEGER, "number of the view's features"),
    Column("longest_window_days", ColumnType.NUMBER, "days that its longest window covers; empty: lifetime"),
    Column("recipients", ColumnType.TEXT, "clients whose valid keys or secrets let them read the view for the purpose"),
    Column("special_categories", ColumnType.TEXT, "special categories of data (GDPR Article 9) of the purpose"),
    Column("controller", ColumnType.TEXT, "who is responsible: name, address, country and e-mail address"),
    Column("third_parties", ColumnType.TEXT, "others that receive data, as the controller states them"),
)
DAY_S = 86_400
Recipients = dict[tuple[str, str], set[str]]
"""Clients by service and purpose."""


def used_fields(view: FeatureView) -> set[str]:
    """The fields of its source that a view aggregates or filters by."""
    names = list(view.source.fields)
    positions = {one.position for one in view.aggregations if one.position is not None}
    positions |= {position for one in view.aggregations for position, _ in one.filters}
    return {names[position] for position in positions}


def _recipients() -> Recipients:
    valid = Q(revoked_at=None, expires_at__gt=database_now(), client__active=True)
    found: Recipients = defaultdict(set)
    for key in ApiKey.objects.filter(valid).select_related("client").iterator():
        _add(found, key.client, key.services, key.purposes)
    for secret in ClientSecret.objects.filter(valid).select_related("client").iterator():
        _add(found, secret.client, secret.client.services, secret.client.purposes)
    return found


def _add(found: Recipients, client: ApiClient, services: list[str], purposes: list[str]) -> None:
    for service in services:
        for purpose in purposes:
            found[service, purpose].add(client.name)


def _rows(period: Period) -> Iterator[Row]:
    registry, recipients = catalog().registry, _recipients()
    purposes = Purpose.objects.filter(created_at__lt=period.until).order_by("name")
    if period.since:
        purposes = purposes.filter(Q(retired_at=None) | Q(retired_at__gte=period.since))
    for purpose in purposes:
        stated = _stated_by_controller(purpose.name)
        told = (purpose.name, purpose.title, purpose.lawful_basis, purpose.validity_days, purpose.active)
        views = [view for _, view in sorted(registry.views.items()) if purpose.name in view.purposes]
        for view in views:
            readers = set[str]().union(
                *(recipients[name, purpose.name] for name, one in registry.services.items() if view in one.views)
            )
            yield (
                *told,
                view.name,
                view.description,
                view.owner,
                view.source.name,
                joined(used_fields(view)),
                len(view.features),
                None if view.longest_s is None else view.longest_s / DAY_S,
                joined(readers),
                *stated,
            )
        if not views:
            yield (*told, "", "", "", "", "", 0, None, "", *stated)


def _stated_by_controller(purpose: str) -> tuple[str, str, str]:
    """The columns that no definition has, from RAPPORT_CONTROLLER; empty without it."""
    if (controller := settings().controller) is None:
        return "", "", ""
    who = ", ".join((controller.name, controller.address, controller.country, controller.email))
    return joined(controller.special_categories.get(purpose, [])), who, joined(controller.recipients)


def _notes(period: Period) -> list[str]:
    notes = ["Views, clients and their credentials are as they were when the export was made, not at the period's end."]
    if settings().controller is None:
        notes.append("No controller is named: RAPPORT_CONTROLLER is not set, and three columns are empty.")
    return notes


PROCESSING_RECORDS = Report(
    "records-of-processing",
    "Records of processing (Art. 30)",
    "None of customers: purposes, definitions and names of clients.",
    COLUMNS,
    _rows,
    _notes,
)
