"""Clock of the database, and milliseconds since 1970, the unit of every stored time."""

from datetime import UTC, datetime

from django.db import connection

CLOCK_QUERIES = {"sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')", "postgresql": "SELECT clock_timestamp()"}


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 (UTC), rounded down."""
    return (int(moment.timestamp()) * 1_000_000 + moment.microsecond) // 1000


def moment(ms: int) -> datetime:
    """The time (UTC) of milliseconds since 1970."""
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def database_now() -> datetime:
    """The database's present time, in whole milliseconds.

    Within a transaction too it is the present: the transaction's start would be before its lock.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLOCK_QUERIES[connection.vendor])
        now = cursor.fetchone()[0]
    if isinstance(now, str):
        now = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return moment(milliseconds(now))
