"""Retention of topics: how long Kafka keeps what, and the longest time until a record has left the brokers' disks."""

from datetime import timedelta

from featurestore.config import Settings

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def event_retention(conf: Settings) -> timedelta:
    """Of events, purges and dead letters."""
    return timedelta(days=conf.event_retention_days)


def journal_retention(conf: Settings) -> timedelta:
    return timedelta(days=conf.journal_retention_days)


def changelog_lag(conf: Settings) -> timedelta:
    """Time after which a value that was replaced is compacted away, and again for which a tombstone stays at most."""
    return timedelta(hours=conf.changelog_lag_hours)


def segment_of(retention: timedelta) -> timedelta:
    """Time after which a segment is closed. It is deleted whole, when its last record is older than the retention."""
    return min(DAY, retention)


def segment_of_lag(lag: timedelta) -> timedelta:
    """Time after which a segment of a compacted topic may be closed; stream workers write a record that closes it."""
    return lag / 4


def gone_after(retention: timedelta) -> timedelta:
    """Longest time until a record of a topic that is deleted by age has gone."""
    return retention + segment_of(retention)


def compacted_after(lag: timedelta) -> timedelta:
    """Longest time until a key that got a tombstone has gone: its values are compacted away, the tombstone stays for a
    while, and goes at the next compaction. Each takes ``lag``, the closing of the segment included.
    """
    return 3 * lag


def milliseconds_of(duration: timedelta) -> str:
    return str(duration // timedelta(milliseconds=1))
