"""Command that lists the data locations, proves what they hold about a customer, and rewrites tables."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.core.management.base import BaseCommand, CommandError

from adminsite.table_rewrite import rewrite_tables
from featurestore.customers.selectors import person_of
from featurestore.locations import AT_ONCE, Location, LocationUnavailable, Person, Registry, prove_all
from featurestore.row_locations import data_locations

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
HEADINGS = ("LOCATION", "TRACES", "CHECKED", "GONE WITHIN")


class ProvenLocation(NamedTuple):
    """What one location holds about a person; or why it could not be read."""

    name: str
    traces: int
    checked: int
    gone_within: str
    problem: str = ""


class Command(BaseCommand):
    help = "List the places that hold personal data of customers, and prove what they hold about one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser("list", help="every place, what it holds, and how that is erased")
        prove = commands.add_parser("prove", help="how many traces of a customer each place holds now")
        prove.add_argument("customer", help="customer id")
        prove.add_argument("--purpose", action="append", help="only what is kept for this purpose; may be repeated")
        prove.add_argument("--source", action="append", help="only what comes from this event source; may be repeated")

        commands.add_parser(
            "rewrite",
            help="rewrite every table of the database, so that its files hold nothing that was deleted; nobody can use "
            "a table meanwhile. Not through PgBouncer",
        )

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        if command == "rewrite":
            self._rewrite()
            return
        locations = data_locations()
        if command == "list":
            self.stdout.write("\n\n".join(map(description_of, locations.in_order())))
            return
        person = person_of(options["customer"], options["purpose"], options["source"])
        found = list(prove(locations, person))
        self.stdout.write("\n".join(table_of(found)))
        if problems := [f"{one.name}: {one.problem}" for one in found if one.problem]:
            raise CommandError("\n".join(["Not everything could be read.", *problems]))

    def _rewrite(self) -> None:
        problems = []
        for one in rewrite_tables():
            self.stdout.write(f"{one.table}: {one.problem or 'rewritten'}")
            problems += [one.table] if one.problem else []
        if problems:
            raise CommandError(f"Not rewritten: {', '.join(problems)}.")


def prove(locations: Registry, person: Person) -> Iterator[ProvenLocation]:
    """What every location holds about a person, in order. One that can't be read does not stop the others."""
    for location in locations.in_order():
        gone = duration_of(location.gone_within())
        try:
            proof = prove_all(location, person)
        except LocationUnavailable as error:
            yield ProvenLocation(location.name, 0, 0, gone, str(error))
        else:
            problem = f"{proof.unreadable} of {proof.checked} can't be read" if proof.unreadable else ""
            yield ProvenLocation(location.name, proof.traces, proof.checked, gone, problem)


def table_of(found: Sequence[ProvenLocation]) -> Iterator[str]:
    """Lines of equal columns."""
    rows = [HEADINGS]
    rows += [
        (one.name, *(("?", "?") if one.problem else (f"{one.traces:,}", f"{one.checked:,}")), one.gone_within)
        for one in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, traces, checked, gone in rows:
        yield f"{name:{widths[0]}}  {traces:>{widths[1]}}  {checked:>{widths[2]}}  {gone}"


def description_of(location: Location) -> str:
    """A location as text, five lines."""
    lines = {
        "stored in": ", ".join(map(str, location.stored_in)),
        "holds": location.personal_data,
        "erased by": location.erased_by,
        "gone within": duration_of(location.gone_within()),
    }
    return "\n".join([f"{location.name}: {location.title}", *(f"  {key}: {text}" for key, text in lines.items())])


def duration_of(gone_within: timedelta) -> str:
    """A duration in the largest unit of which it is a whole number.

    >>> [duration_of(timedelta(hours=hours)) for hours in (0, 1, 24, 72, 36)]
    ['at once', '1 hour', '1 day', '3 days', '36 hours']
    """
    if gone_within == AT_ONCE:
        return "at once"
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if gone_within % unit == AT_ONCE:
            number = gone_within // unit
            return f"{number} {name}{'s' if number > 1 else ''}"
    return f"{gone_within.total_seconds():g} seconds"
