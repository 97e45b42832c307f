"""Data locations: every place that holds personal data of customers, and how each is erased."""

from collections.abc import Iterator

from featurestore.compliance.report import Column, ColumnType, Period, Report, Row, joined
from featurestore.row_locations import data_locations

COLUMNS = (
    Column("location", ColumnType.TEXT, "stable name of the location"),
    Column("title", ColumnType.TEXT, "what it is called in lists"),
    Column("stored_in", ColumnType.TEXT, "tables, keys, topics and files that it owns"),
    Column("personal_data", ColumnType.TEXT, "what it holds"),
    Column("erased_by", ColumnType.TEXT, "how an erasure and retention end it"),
    Column("gone_within_days", ColumnType.NUMBER, "days from an erasure until no byte of it is left here"),
    Column("derived_from", ColumnType.TEXT, "locations that its data are computed from"),
)
DAY_S = 86_400


def _rows(period: Period) -> Iterator[Row]:
    for location in data_locations().in_order():
        yield (
            location.name,
            location.title,
            joined(map(str, location.stored_in)),
            location.personal_data,
            location.erased_by,
            location.gone_within().total_seconds() / DAY_S,
            joined(location.derived_from),
        )


def _notes(period: Period) -> list[str]:
    return ["Locations are as they were when the export was made: the period does not narrow them."]


DATA_LOCATIONS = Report(
    "data-locations", "Data locations", "None: what is stored where, about nobody.", COLUMNS, _rows, _notes
)
