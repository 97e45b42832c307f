"""Rows of Online Retail as order lines; invalid rows are skipped."""

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

import pytest

from featurestore.catalog.orders import OrderLine
from featurestore.catalog.retail import NO_CUSTOMER, Sale, SkippedRow, WrongFile, sales, survey
from featurestore.definitions.fields import LARGEST

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
ROW = "536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"


def rows(*lines: str) -> list[Sale | SkippedRow]:
    return list(sales(StringIO("\n".join([HEADER, *lines, ""]), newline="")))


def test_sale_becomes_an_order_line() -> None:
    data = OrderLine(kind="completed", order_id="536365", sku="85123A", quantity=6, amount=Decimal("15.30"))
    assert rows(ROW) == [Sale(2, "17850", "United Kingdom", datetime(2010, 12, 1, 8, 26, tzinfo=UTC), data)]


def test_return_has_negative_quantity_and_amount() -> None:
    (row,) = rows("C536379,D,Discount,-2,2010-12-01 09:41:00,27.50,14527,United Kingdom")
    assert isinstance(row, Sale)
    assert (row.data.kind, row.data.quantity, row.data.amount) == ("returned", -2, Decimal("-55.00"))


def test_american_dates_of_the_original_are_parsed() -> None:
    (row,) = rows(ROW.replace("2010-12-01 08:26:00", "12/1/2010 8:26"))
    assert isinstance(row, Sale)
    assert row.time == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


def test_equal_rows_are_different_events() -> None:
    assert [row.line for row in rows(ROW, ROW)] == [2, 3]


def test_line_number_counts_multiline_descriptions() -> None:
    assert [row.line for row in rows(ROW.replace("WHITE HEART", '"WHITE\nHEART"'), ROW)] == [3, 4]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROW.replace("17850", ""), NO_CUSTOMER),
        ("536365,85123A", "row has more or fewer columns than the header"),
        (ROW.replace("17850", "1" * 257), "customer_id must have 1 to 256 characters, not 257"),
        (ROW.replace("17850", "17\x07850"), "customer_id must not hold control characters"),
        (ROW.replace(",6,", ",six,"), "Quantity or UnitPrice is no number"),
        (ROW.replace(",6,", ",,"), "Quantity or UnitPrice is no number"),
        (ROW.replace("2.55", "2,55"), "row has more or fewer columns than the header"),
        (ROW.replace("2.55", "NaN"), f"number is out of range: at most {LARGEST} in size - at `$.data.amount`"),
        (ROW.replace("2.55", "0.00001"), "number has more than 4 decimals - at `$.data.amount`"),
        (ROW.replace("2010-12-01", "2010-13-01"), "InvoiceDate is no date"),
        (ROW.replace("536365", ""), "Expected `str` of length >= 1 - at `$.order_id`"),
        (ROW.replace("85123A", "A" * 129), "Expected `str` of length <= 128 - at `$.sku`"),
        (ROW.replace("WHITE HEART", '"' + "x" * 200_000 + '"'), "field larger than field limit (131072)"),
    ],
)
def test_invalid_row_is_skipped_with_its_reason(row: str, reason: str) -> None:
    first, second = rows(row, ROW)[-2:]
    assert isinstance(first, SkippedRow)
    assert first.reason == reason
    assert isinstance(second, Sale)


def test_file_with_another_header_is_refused() -> None:
    with pytest.raises(WrongFile, match="it has no column Country, CustomerID, InvoiceDate"):
        list(sales(["InvoiceNo,StockCode,Quantity,UnitPrice\n"]))
    with pytest.raises(WrongFile, match="no row is an event"):
        survey(rows(ROW.replace("17850", "")))


def test_survey_summarises_the_rows() -> None:
    later = ROW.replace("2010-12-01", "2011-05-31").replace("17850", "2").replace("United Kingdom", "France")
    found = survey(rows(later, ROW, ROW.replace("17850", ""), ROW.replace(",6,", ",x,")))
    assert found.countries == {"17850": "United Kingdom", "2": "France"}
    assert (found.first.date().isoformat(), found.last.date().isoformat()) == ("2010-12-01", "2011-05-31")
    assert found.skipped == {NO_CUSTOMER: 1, "Quantity or UnitPrice is no number": 1}
