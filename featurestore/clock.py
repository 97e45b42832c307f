"""The database's clock, and milliseconds since the epoch as the unit of every stored time."""

from datetime import UTC, datetime

from django.db import connection

CLOCKS = {"sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "SELECT clock_timestamp()"}


def milliseconds(moment: datetime) -> int:
    """Milliseconds since the epoch; a moment within one is rounded down."""
    return (int(moment.timestamp()) * 1_000_000 + moment.microsecond) // 1000


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def database_now() -> datetime:
    """The database's clock, in whole milliseconds. Not the transaction's beginning: that is before its lock."""
    with connection.cursor() as cursor:
        cursor.execute(CLOCKS[connection.vendor])
        now = cursor.fetchone()[0]
    if isinstance(now, str):
        now = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return moment(milliseconds(now))
