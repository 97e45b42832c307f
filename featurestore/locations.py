"""Protocol of a data location: a place that holds personal data of customers, and the registry of all of them. Pure.

A subject request walks every registered location. Each one exports, erases, pauses and proves for one person, a page at
a time, in constant memory. What holds data, and what no location owns, is compared by what each says it is stored in:
a table, a Redis key, a topic, a file.

Whoever adds a table, a key, a topic or a file registers its location in the module ``locations.py`` of the app, or says
there why it holds no personal data.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from graphlib import TopologicalSorter
from typing import Any, NamedTuple, Protocol, TypeVar

PAGE = 1_000
"""Rows, records or keys of a page, unless a caller asks for another number."""
AT_ONCE = timedelta(0)


class LocationUnavailable(Exception):
    """A server of the location does not answer, or refuses. The message says which one and what to do."""


class LocationError(ValueError):
    """A location that can't be registered as it is; the message says what to change."""


class Kind(StrEnum):
    """Kind of what data is stored in."""

    TABLE = "table"  # of the database
    STORE_KEY = "store key"  # of the store Redis
    CONTROL_KEY = "control key"  # of the control Redis
    TOPIC = "topic"  # of Kafka
    FILE = "file"  # below a folder that a process writes to


class Storage(NamedTuple):
    """What data is stored in, as a shell pattern over names of its kind.

    >>> Storage(Kind.TOPIC, "events.*").holds(Kind.TOPIC, "events.orders.g1")
    True
    """

    kind: Kind
    pattern: str

    def holds(self, kind: Kind, name: str) -> bool:
        return kind is self.kind and fnmatchcase(name, self.pattern)

    def __str__(self) -> str:
        return f"{self.kind} {self.pattern}"


class Impersonal(NamedTuple):
    """Storage without personal data of customers, with the reason."""

    storage: Storage
    reason: str


class Person(NamedTuple):
    """Whom a call is about, by every name that a location may know, and which part of the data.

    ``customers``: keys of the rows of the database. ``identifiers``: the shop's ids. ``subjects``: one for each
    identifier that was ever theirs. ``purposes`` and ``sources`` (event sources): only what belongs to these and to no
    other; None: everything.
    """

    customers: tuple[int, ...] = ()
    identifiers: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    purposes: frozenset[str] | None = None
    sources: frozenset[str] | None = None

    @property
    def whole(self) -> bool:
        """Whether the call is about everything of the person."""
        return self.purposes is None and self.sources is None

    def includes(self, purposes: Iterable[str] = (), source: str | None = None) -> bool:
        """Whether the call is about something that is kept for these purposes and came from this event source.

        What serves another purpose as well is no part of a call about one, nor is what states no purpose or source.

        >>> Person(purposes=frozenset({"service"})).includes(["service", "marketing"])
        False
        """
        kept_for = frozenset(purposes)
        return (self.purposes is None or (bool(kept_for) and kept_for <= self.purposes)) and (
            self.sources is None or source in self.sources
        )


class Item(NamedTuple):
    """One thing that a location holds about a person, readable by that person: no digest, no name of staff.

    ``category``: of data, in plain words. ``origin``: where it came from. ``at``: when, if the location knows. ``data``
    is JSON.
    """

    category: str
    origin: str
    at: datetime | None
    data: dict[str, Any]


class Page(NamedTuple):
    """Part of an export. With a cursor there may be more, also after a page without items; without one it is over.

    A cursor is a text of the location's own, which a caller may store, and give to the same location only.
    """

    items: list[Item]
    cursor: str | None


class ErasePage(NamedTuple):
    """Part of an erasure: how much was erased or pseudonymised, and how much was kept for now.

    What is kept is erased by a later call, or goes by itself within ``gone_within``.
    """

    erased: int
    kept: int
    cursor: str | None


class Proof(NamedTuple):
    """Part of a proof: traces of the person found, and things looked at, and those that could not be read.

    A trace names the person: a row, key or record with an identifier, a subject or a value of theirs. What was
    pseudonymised is none.
    """

    traces: int
    checked: int
    unreadable: int
    cursor: str | None


PageType = TypeVar("PageType", Page, ErasePage, Proof)


class Location(Protocol):
    """Place that holds personal data of customers.

    Every method may be repeated, and a call that was cut off may be made again with the same cursor: what was erased
    stays erased. ``limit`` bounds what one call returns or changes; a call ends within seconds, so that a long scan
    returns pages that are empty. Methods raise LocationUnavailable.
    """

    @property
    def name(self) -> str:
        """Stable: requests store it."""

    @property
    def title(self) -> str:
        """What it is called in a list."""

    @property
    def stored_in(self) -> tuple[Storage, ...]:
        """The tables, keys, topics and files that it owns; several locations may own one."""

    @property
    def personal_data(self) -> str:
        """What it holds, in a sentence."""

    @property
    def erased_by(self) -> str:
        """How an erasure and retention end it, in a sentence."""

    @property
    def derived_from(self) -> tuple[str, ...]:
        """Names of the locations whose data it is computed from."""

    @property
    def erased_after(self) -> tuple[str, ...]:
        """Names of the locations that an erasure must have ended before."""

    def gone_within(self) -> timedelta:
        """Longest time from an erasure until no byte of it is left here: AT_ONCE, or what the settings make it."""

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        """What it holds about the person, from a cursor on."""

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        """Erase or pseudonymise what it holds, from a cursor on; nothing of other persons."""

    def pause(self, person: Person, actor: str, reason: str) -> int:
        """Restrict the processing (GDPR Art 18), and keep the data. How many things it paused: 0 where the permission,
        which another location holds, is what stops it.
        """

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        """Look for what it holds about the person, from a cursor on, without using any index of the erasure's own."""


class Registry:
    """Locations by name, and the storage without personal data.

    >>> Registry().in_order()
    []
    """

    def __init__(self) -> None:
        self._locations: dict[str, Location] = {}
        self._impersonal: dict[Storage, Impersonal] = {}

    def register(self, *locations: Location, impersonal: Iterable[Impersonal] = ()) -> None:
        """Add an app's locations, and its storage without personal data. Raises LocationError."""
        for location in locations:
            if self._locations.setdefault(location.name, location) is not location:
                raise LocationError(f"two data locations are called {location.name}: rename one")
            for text in (location.title, location.personal_data, location.erased_by):
                if not text:
                    raise LocationError(f"{location.name} has no title, no statement of its data or of their erasure")
        self._impersonal |= {one.storage: one for one in impersonal}

    def __getitem__(self, name: str) -> Location:
        try:
            return self._locations[name]
        except KeyError:
            raise LocationError(f"there is no data location {name}; there are {', '.join(self._locations)}") from None

    def in_order(self) -> list[Location]:
        """All locations, by name, each after those that an erasure must have ended before. Raises LocationError."""
        graph: dict[str, tuple[str, ...]] = {}
        for _, location in sorted(self._locations.items()):
            for name in (*location.erased_after, *location.derived_from):
                if name not in self._locations:
                    raise LocationError(f"{location.name} names the data location {name}, which does not exist")
            graph[location.name] = location.erased_after
        return [self._locations[name] for name in TopologicalSorter(graph).static_order()]

    def impersonal(self) -> list[Impersonal]:
        return list(self._impersonal.values())

    def owners(self, kind: Kind, name: str) -> list[Location]:
        """The locations that are stored in a table, key, topic or file of this name."""
        return [one for one in self._locations.values() if any(part.holds(kind, name) for part in one.stored_in)]

    def reason_impersonal(self, kind: Kind, name: str) -> str | None:
        """Why storage of this name holds no personal data; None if nobody says so."""
        return next((one.reason for one in self._impersonal.values() if one.storage.holds(kind, name)), None)


registry = Registry()
"""The registry of this process. ``featurestore.row_locations.data_locations`` fills it."""


def export_all(location: Location, person: Person, limit: int = PAGE) -> Iterator[Item]:
    """Every item of a location, a page in memory at a time. Raises LocationUnavailable."""
    for page in _pages(lambda cursor: location.export(person, cursor, limit)):
        yield from page.items


def erase_all(location: Location, person: Person, limit: int = PAGE) -> ErasePage:
    """Erase to the end; the sums. Raises LocationUnavailable."""
    erased = kept = 0
    for page in _pages(lambda cursor: location.erase(person, cursor, limit)):
        erased, kept = erased + page.erased, kept + page.kept
    return ErasePage(erased, kept, None)


def prove_all(location: Location, person: Person, limit: int = PAGE) -> Proof:
    """Prove to the end; the sums. Raises LocationUnavailable."""
    traces = checked = unreadable = 0
    for page in _pages(lambda cursor: location.prove(person, cursor, limit)):
        traces, checked, unreadable = traces + page.traces, checked + page.checked, unreadable + page.unreadable
    return Proof(traces, checked, unreadable, None)


def _pages(call: Callable[[str | None], PageType]) -> Iterator[PageType]:
    cursor: str | None = None
    while True:
        page = call(cursor)
        yield page
        if (cursor := page.cursor) is None:
            return
