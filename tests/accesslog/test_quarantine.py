"""Quarantined entries: nothing of a deleted one is left in the control Redis, and the others stay as they are."""

from pathlib import Path

from devservers.file_search.encodings import needle_of
from devservers.file_search.search import FORMATS, Search
from featurestore.accesslog.stream import FIELD, QUARANTINE_KEY
from tests.accesslog.harness import ControlRedis

ANN, BOB = (f"entry-of-{name}-5c1e" for name in ("ann", "bob"))


def found(control: ControlRedis) -> set[str]:
    """Which of both the bytes of the stream hold, as Redis writes them to its files."""
    raw = control.redis.dump(QUARANTINE_KEY)
    search = Search([needle_of(text, text) for text in (ANN, BOB)])
    return {one.needle for one in search.contents(raw, Path("dump"), FORMATS["redis"])} if raw else set()


def test_deleted_entry_leaves_the_stream_and_the_others_keep_id_and_fields(control: ControlRedis) -> None:
    ann, _, other = (
        control.redis.xadd(QUARANTINE_KEY, fields)
        for fields in ({FIELD: ANN}, {FIELD: BOB, b"another": b"field"}, {FIELD: f"{ANN} again"})
    )
    before = control.redis.xrange(QUARANTINE_KEY)
    control.redis.xdel(QUARANTINE_KEY, other)
    assert found(control) == {ANN, BOB}, "Redis keeps the bytes of a deleted entry"
    control.stream.delete_quarantined([ann])
    assert found(control) == {BOB}
    assert control.redis.xrange(QUARANTINE_KEY) == before[1:2]


def test_deletion_of_the_last_entry_leaves_no_stream(control: ControlRedis) -> None:
    only = control.redis.xadd(QUARANTINE_KEY, {FIELD: ANN})
    for _ in range(2):
        control.stream.delete_quarantined([only])
        assert not control.redis.exists(QUARANTINE_KEY)
