"""Formats: what is written is read back, formulas are neutralised, and numbers stay numbers."""

import csv
import json
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.clock import moment
from featurestore.compliance.formats import csv_lines, json_lines, neutralised, restored, told_time
from featurestore.compliance.report import Column, ColumnType, Row

COLUMNS = (
    Column("text", ColumnType.TEXT, "a text"),
    Column("number", ColumnType.NUMBER, "a number"),
    Column("flag", ColumnType.BOOLEAN, "a flag"),
    Column("at", ColumnType.TIME, "a time"),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text("=+-@'\t\r\n 0.,\"＝", max_size=5)
NUMBERS = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.tuples(TEXTS, NUMBERS, st.booleans(), st.integers(0, 10**12).map(moment)))
DANGEROUS = ("=", "+", "@", "\t", "\r", "＝", "＋", "＠")


@given(ROWS)
def test_a_csv_reads_back(rows: list[Row]) -> None:
    head, *read = csv.reader(StringIO("".join(csv_lines(COLUMNS, rows)), newline=""))
    assert head == ["text", "number", "flag", "at"]
    assert [(restored(text), number, flag, at) for text, number, flag, at in read] == [
        (text, "" if number is None else str(number), "true" if flag else "false", told_time(at))
        for text, number, flag, at in rows
    ]


@given(ROWS)
def test_json_lines_read_back(rows: list[Row]) -> None:
    lines = list(json_lines(COLUMNS, rows))
    assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines)
    assert [tuple(json.loads(line).values()) for line in lines] == [(*row[:3], told_time(row[3])) for row in rows]


@given(TEXTS)
def test_no_text_is_a_formula_unless_it_is_a_negative_number(text: str) -> None:
    written = neutralised(text)
    assert not written.lstrip().startswith(DANGEROUS)
    assert not written.startswith(DANGEROUS)
    if written.startswith("-"):
        float(written)
    assert restored(written) == text


@pytest.mark.parametrize(
    "text", ["=1+1", " =1", "\u200b=1", "+49 30 1", "@SUM(A1)", "\tx", "\rx", "-1+1", "-", "'x", "－1"]
)
def test_a_formula_is_neutralised(text: str) -> None:
    assert neutralised(text) == "'" + text


@pytest.mark.parametrize("text", ["", "ann", "-3", "-0.25", "1=1", "a@example.org"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert neutralised(text) == text
