"""Data locations that are the rows of one model, and the registry filled with those of every app.

What a model holds and how that is erased is stated once, by the model itself: ``personal_data`` and ``erased_by``. One
whose statement begins with "None" holds no personal data of customers, and has no location.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

from django.apps import apps
from django.db import InterfaceError, OperationalError, models
from django.utils.module_loading import autodiscover_modules

from featurestore.locations import (
    AT_ONCE,
    ErasePage,
    Impersonal,
    Item,
    Kind,
    LocationUnavailable,
    Page,
    Person,
    Proof,
    Registry,
    Storage,
    registry,
)

NO_CUSTOMERS = "None"
FULL = ("No space left on device", "disk is full")
"""Of PostgreSQL's and SQLite's messages."""


class RowLocation(ABC):
    """Rows of one model about a person, in the order of their keys. A cursor is the last key.

    A subclass states ``rows``, and what it exports of one. It deletes them, unless it overrides ``traces`` and
    ``erase_rows``.
    """

    name: str
    title: str
    model: ClassVar[type[models.Model]]
    category: str
    derived_from: tuple[str, ...] = ()
    erased_after: tuple[str, ...] = ()

    stored_in: tuple[Storage, ...]

    def __init__(self) -> None:
        self.stored_in = (table_of(self.model),)
        self.personal_data, self.erased_by = statements_of(self.model)

    @abstractmethod
    def rows(self, person: Person) -> "models.QuerySet[Any]":
        """The rows of the person that the call is about, to export."""

    @abstractmethod
    def item(self, row: Any) -> Item:
        """What a row tells the person."""

    def traces(self, person: Person) -> "models.QuerySet[Any]":
        """The rows that name the person still, of those that an erasure is about."""
        return self.rows(person)

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        """Erase rows of ``traces`` with these keys; the number that was. What can't be erased yet is left."""
        return self.model._default_manager.filter(pk__in=keys).delete()[1].get(self.model._meta.label, 0)

    def gone_within(self) -> timedelta:
        return AT_ONCE

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        with reached_database():
            found = list(self._page(self.rows(person), after, limit))
            return Page([self.item(row) for row in found], _cursor([row.pk for row in found], limit))

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        with reached_database():
            keys = list(self._page(self.traces(person), after, limit).values_list("pk", flat=True))
            erased = self.erase_rows(person, keys) if keys else 0
            return ErasePage(erased, len(keys) - erased, _cursor(keys, limit))

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        with reached_database():
            keys = list(self._page(self.traces(person), after, limit).values_list("pk", flat=True))
            look_ups = len(person.customers) + len(person.subjects) if after is None else 0
            return Proof(len(keys), look_ups + len(keys), 0, _cursor(keys, limit))

    def _page(self, rows: "models.QuerySet[Any]", after: str | None, limit: int) -> "models.QuerySet[Any]":
        if after is not None:
            rows = rows.filter(pk__gt=self.model._meta.pk.to_python(after))
        return rows.order_by("pk")[:limit]


def _cursor(keys: Sequence[Any], limit: int) -> str | None:
    return str(keys[-1]) if len(keys) == limit else None


@contextmanager
def reached_database() -> Iterator[None]:
    """Errors of a database that does not answer, or takes no more data, as LocationUnavailable."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        first_line, *_ = str(error).splitlines() or [""]
        if any(text in first_line for text in FULL):
            raise LocationUnavailable(f"the database's disk is full: {first_line}. Free space on it.") from error
        raise LocationUnavailable(f"the database does not answer: {first_line}. Is it running?") from error


def table_of(model: type[models.Model]) -> Storage:
    return Storage(Kind.TABLE, model._meta.db_table)


def statements_of(model: type[models.Model]) -> tuple[str, str]:
    """A model's statements of its personal data and of their erasure; "" where it makes none."""
    return getattr(model, "personal_data", ""), getattr(model, "erased_by", "")


def our_models() -> list[type[models.Model]]:
    """The models of this project, with the tables that they make for themselves."""
    configs = [config for config in apps.get_app_configs() if config.name.startswith("featurestore.")]
    return [model for config in configs for model in config.get_models()]


def impersonal_tables() -> Iterable[Impersonal]:
    """The tables whose models state that they hold nothing of customers, with the tables of their relations."""
    for model in our_models():
        personal_data, _ = statements_of(model)
        if personal_data.startswith(NO_CUSTOMERS):
            yield Impersonal(table_of(model), personal_data)
            for field in model._meta.local_many_to_many:
                through: Any = field.remote_field.through
                yield Impersonal(table_of(through), f"Pairs of keys: {field.name} of {model._meta.label}.")


def data_locations() -> Registry:
    """The registry with the locations of every installed app."""
    autodiscover_modules("locations")
    registry.register(impersonal=impersonal_tables())
    return registry
