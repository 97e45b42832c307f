"""Online Retail (Daqing Chen, UCI Machine Learning Repository, 2015, doi 10.24432/C5BW33) as order lines. Pure.

One row is one event, identified by its line in the file: equal rows are different events. Invoices that begin with C
are returns; their quantities and amounts are negative, as in OrderLine. Times are taken as UTC.
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
    """File that is not the data set: the message names the missing columns."""


class Sale(NamedTuple):
    """Row with a customer. ``line`` is its number in the file, where the header is line 1."""

    line: int
    customer_id: str
    country: str
    time: datetime
    data: OrderLine


class SkippedRow(NamedTuple):
    """Row that is no event. The reason repeats no value of the row."""

    line: int
    reason: str


class Survey(NamedTuple):
    """Summary of the file: each customer's country, the first and last time of events, skipped rows by reason."""

    countries: dict[str, str]
    first: datetime
    last: datetime
    skipped: Counter[str]


def sales(lines: Iterable[str]) -> Iterator[Sale | SkippedRow]:
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
                yield SkippedRow(rows.line_num, NO_CUSTOMER)
        except StopIteration:
            return
        except (csv.Error, ValueError) as error:
            yield SkippedRow(rows.line_num, str(error))


def survey(rows: Iterable[Sale | SkippedRow]) -> Survey:
    """The summary of all rows. Raises WrongFile if none of them is an event."""
    countries: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    first, last = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    for row in rows:
        if isinstance(row, SkippedRow):
            skipped[row.reason] += 1
        else:
            countries.setdefault(row.customer_id, row.country)
            first, last = min(first, row.time), max(last, row.time)
    if not countries:
        raise WrongFile("no row is an event with a customer")
    return Survey(countries, first, last, skipped)


def require_columns(row: Mapping[str | None, str | None]) -> None:
    """Raises ValueError for a row with too few or too many columns: its values might be those of other columns."""
    if None in row or None in row.values():
        raise ValueError("row has more or fewer columns than the header")


@lru_cache(maxsize=10_000)
def require_identifier(customer_id: str) -> None:
    """Raises IdentifierError for an identifier that has no subject."""
    subject_of(customer_id, b"")


@lru_cache(maxsize=1000)
def time_of(text: str) -> datetime:
    """The time of the invoice: ISO as in the database's export, or American as in the original."""
    for format_ in DATE_FORMATS:
        try:
            return datetime.strptime(text, format_).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError("InvoiceDate is no date")


def order_line(row: Mapping[str, str]) -> OrderLine:
    """A row's data, as the source takes it. Raises ValueError with the reason."""
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
