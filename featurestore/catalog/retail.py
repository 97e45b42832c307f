"""Online Retail (Daqing Chen, UCI Machine Learning Repository, 2015, doi 10.24432/C5BW33) as order lines. Pure.

One row is one event, whose identity is its line in the file: rows that repeat another are lines of their own. Invoices
that begin with C are returns; their quantities are negative, and so are the amounts, as OrderLine wants them. Times are
taken as UTC.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

import msgspec

from featurestore.catalog.orders import OrderLine, orders
from featurestore.definitions import InvalidEvent
from featurestore.identity import subject_of

COLUMNS = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")
DATE_FORMATS = ("%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M")
NO_CUSTOMER = "no customer"


class WrongFile(ValueError):
    """Not the data set: the message names the columns that are missing."""


class Sale(NamedTuple):
    """One row of a customer's. ``line`` is its number in the file, where the header is line 1."""

    line: int
    customer_id: str
    country: str
    time: datetime
    data: OrderLine


class Skipped(NamedTuple):
    """One row that is no event, and why. The reason repeats no value of the row."""

    line: int
    reason: str


class Survey(NamedTuple):
    """What the file holds: the country of every customer, first and last time of its events, rows skipped by reason."""

    countries: dict[str, str]
    first: datetime
    last: datetime
    skipped: Counter[str]


def sales(lines: Iterable[str]) -> Iterator[Sale | Skipped]:
    """Every row of the file, in its order. Raises WrongFile."""
    rows = csv.DictReader(lines)
    if missing := set(COLUMNS) - set(rows.fieldnames or ()):
        raise WrongFile(f"this is not Online Retail: it has no column {', '.join(sorted(missing))}")
    while True:
        try:
            row = next(rows)
            require_columns(row)
            if customer_id := row["CustomerID"]:
                require_identifier(customer_id)
                yield Sale(rows.line_num, customer_id, row["Country"], time_of(row["InvoiceDate"]), order_line(row))
            else:
                yield Skipped(rows.line_num, NO_CUSTOMER)
        except StopIteration:
            return
        except (csv.Error, ValueError) as error:
            yield Skipped(rows.line_num, str(error))


def survey(rows: Iterable[Sale | Skipped]) -> Survey:
    """A first look over all rows. Raises WrongFile if none of them is an event."""
    countries: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    first, last = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    for row in rows:
        if isinstance(row, Skipped):
            skipped[row.reason] += 1
        else:
            countries.setdefault(row.customer_id, row.country)
            first, last = min(first, row.time), max(last, row.time)
    if not countries:
        raise WrongFile("no row is an event with a customer")
    return Survey(countries, first, last, skipped)


def require_columns(row: Mapping[str | None, str | None]) -> None:
    """Raises ValueError for a row that is cut off, or has a comma too many: a value might stand under another name."""
    if None in row or None in row.values():
        raise ValueError("row has more or fewer columns than the header")


@lru_cache(maxsize=10_000)
def require_identifier(customer_id: str) -> None:
    """Raises IdentifierError for what could not be sent."""
    subject_of(customer_id, b"")


@lru_cache(maxsize=1000)
def time_of(text: str) -> datetime:
    """When the invoice was written: ISO as in the database's export, or American as in the original."""
    for form in DATE_FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError("InvoiceDate is no date")


def order_line(row: Mapping[str, str]) -> OrderLine:
    """A row's data, as the source takes it. Raises ValueError with the reason why not."""
    try:
        quantity, price = int(row["Quantity"]), Decimal(row["UnitPrice"])
    except (ValueError, InvalidOperation):
        raise ValueError("Quantity or UnitPrice is no number") from None
    fields = {
        "kind": "returned" if row["InvoiceNo"].startswith("C") else "completed",
        "order_id": row["InvoiceNo"],
        "sku": row["StockCode"],
        "quantity": quantity,
        "amount": quantity * price,
    }
    try:
        data = msgspec.convert(fields, OrderLine)
        orders.values(data)
    except (msgspec.ValidationError, InvalidEvent) as error:
        raise ValueError(str(error)) from None
    return data
