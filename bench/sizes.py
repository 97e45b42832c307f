"""Bytes of a windowed feature in Redis, in tables and in their changelog, on real data and in the worst case.

    python -m bench.sizes

The streams' own processor folds whole populations into a real Redis; their records go into a real RocksDB. Nothing is
timed, so the figures are the same on every machine with the same Redis.

A *windowed feature* is one feature of one customer for one purpose, as it can be read: a view of seven features, kept
for two purposes, is fourteen. What one costs in Redis is MEMORY USAGE of the customers' hashes, less that of the same
hashes with their permissions alone, by the number of features in them; in RocksDB, the files' size by that number.
Views with a sketch (top K, quantile, distinct count) are left out of the figures, and listed below them. Feast's stored
double, without any window, takes 24 bytes in Redis.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from faust.stores.rocksdb import RocksDBOptions
from redis import Redis

from bench.distribution import quantile
from bench.offline import Offline
from bench.populations import NoRetailData, TimedEvent, busiest, demo_hour, retail, year_and_hour
from devservers.redis_server import RedisServer
from featurestore.aggregations import DistinctCount, Quantile, TopK
from featurestore.catalog import registry
from featurestore.definitions import FeatureView, Registry
from featurestore.store.redis import subject_key
from featurestore.tiles.state_record import ENCODER, StateRecord, decode
from featurestore.tiles.stored_field import field_name
from featurestore.tiles.view_codec import ViewCodec
from streams import coverage
from streams.table_stores import ROCKSDB_OPTIONS

SKETCHES = (TopK, Quantile, DistinctCount)
PERMISSION = b"p"
BATCH = 500
BUSIEST = 10

Hash = dict[bytes, bytes]


class StoredPopulation(NamedTuple):
    """All that store and tables hold of a population."""

    hashes: dict[str, Hash]  # the store's, by subject
    encodings: dict[str, int]  # how many of them Redis keeps in which encoding
    redis_bytes: int  # what values take there, permissions and the hashes as such not counted
    tables: dict[str, dict[bytes, bytes]]  # records by source and subject
    rocksdb_bytes: int

    def fields(self) -> Iterator[tuple[str, bytes]]:
        """VIEW/PURPOSE and value of each of the store's fields, permissions left out."""
        pairs = (pair for hash_ in self.hashes.values() for pair in hash_.items())
        return ((name.decode(), value) for name, value in pairs if name != PERMISSION)

    @property
    def features(self) -> int:
        """Number of windowed features."""
        return sum(len(view_of(name).features) for name, _ in self.fields())

    def records(self) -> Iterator[StateRecord]:
        return (decode(raw) for table in self.tables.values() for raw in table.values())


def rows_of(record: StateRecord) -> dict[str, int]:
    """Number of tiles of each VIEW/PURPOSE in a record."""
    return {
        field_name(name, purpose): len(ViewCodec(registry.views[name]).decode(kept.tiles).starts)
        for name, states in record.views.items()
        for kept in states
        for purpose in kept.grant_ids
    }


def parts_of(record: StateRecord) -> dict[str, int]:
    """Bytes of a record's parts: the identities of its events, and each view, once for purposes that hold the same."""
    parts = {"identities": len(ENCODER.encode(record.deduplication_window))}
    return parts | {name: len(ENCODER.encode(states)) for name, states in record.views.items()}


def view_of(name: str) -> FeatureView:
    """The view of a VIEW/PURPOSE."""
    return registry.views[name.partition("/")[0]]


def is_sketched(view: FeatureView) -> bool:
    return any(isinstance(one.aggregation, SKETCHES) for one in view.aggregations)


def store_population(server: RedisServer, events: Sequence[TimedEvent], *, sketches: bool) -> StoredPopulation:
    """Fold a population by the shipped definitions, with or without the views that have a sketch."""
    sources = list({one.source.name: one.source for one in events}.values())
    views = [v for v in registry.views.values() if v.source in sources and (sketches or not is_sketched(v))]
    with Redis(port=server.port) as redis, Redis(port=server.port, db=1) as bare:
        redis.flushall()
        offline = Offline(Registry([*sources, *views]), server.url)
        asyncio.run(offline.fold(events))
        subjects = offline.subjects
        hashes = dict(zip(subjects, pipelined(redis, subjects, lambda to, name: to.hgetall(name)), strict=True))
        encodings = [name.decode() for name in pipelined(redis, subjects, lambda to, name: to.object("ENCODING", name))]
        for subject, hash_ in hashes.items():
            bare.hset(subject_key(subject), PERMISSION, hash_[PERMISSION])
        value_bytes = memory_bytes(redis, subjects) - memory_bytes(bare, subjects)
    tables = {
        name: {subject: raw for subject, raw in table.kept.items() if subject != coverage.KEY}
        for name, table in offline.tables.items()
    }
    return StoredPopulation(
        hashes, {name: encodings.count(name) for name in set(encodings)}, value_bytes, tables, on_disk(tables)
    )


def pipelined(redis: Redis, subjects: Sequence[str], command: Callable[[Any, str], object]) -> Iterator[Any]:
    """Redis' answers to a command about each subject's hash."""
    for start in range(0, len(subjects), BATCH):
        pipeline = redis.pipeline(transaction=False)
        for subject in subjects[start : start + BATCH]:
            command(pipeline, subject_key(subject))
        yield from pipeline.execute()


def memory_bytes(redis: Redis, subjects: Sequence[str]) -> int:
    return sum(pipelined(redis, subjects, lambda to, name: to.memory_usage(name, samples=0)))


def on_disk(tables: Mapping[str, Mapping[bytes, bytes]]) -> int:
    """Size of RocksDB's files, a database a source, that hold the records and nothing older."""
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        for name, values in tables.items():
            database = RocksDBOptions(**ROCKSDB_OPTIONS, use_rocksdict=True).open(Path(folder) / name)
            for subject, raw in values.items():
                database[subject] = raw
            database.flush()
            database.compact_range(None, None)
            database.close()
        return sum(file.stat().st_size for file in Path(folder).rglob("*.sst"))


def measured(server: RedisServer) -> dict[str, float]:
    """All figures of sizes, from an empty Redis; those of the retail data only if it is there."""
    figures: dict[str, float] = {}
    try:
        figures |= population_figures(server, "", "retail data", retail())
    except NoRetailData as error:
        print(f"retail data left out: {error}")
    title = f"the simulated shop's {BUSIEST} busiest customers, "
    figures |= population_figures(server, "_busiest", title + "an hour of the demo", busiest(demo_hour(), BUSIEST))
    return figures | population_figures(
        server, "_fullest", title + "a year and that hour", busiest(year_and_hour(), BUSIEST)
    )


def population_figures(server: RedisServer, suffix: str, title: str, events: Sequence[TimedEvent]) -> dict[str, float]:
    """The figures of one population; prints a table of bytes by view and part of the record."""
    found = store_population(server, events, sketches=False)
    figures = {
        f"redis_bytes_per_windowed_feature{suffix}": found.redis_bytes / found.features,
        f"rocksdb_bytes_per_windowed_feature{suffix}": found.rocksdb_bytes / found.features,
        f"table_record_bytes{suffix}": fmean(len(raw) for table in found.tables.values() for raw in table.values()),
    }
    encodings = " and ".join(f"{number:,} {encoding}s" for encoding, number in found.encodings.items())
    print(f"\n{title}: {len(events):,} events, {len(found.hashes):,} customers, {found.features:,} windowed features")
    values_bytes = sum(len(value) for _, value in found.fields()) / found.features
    print(f"in Redis {encodings}; without sketches, of which the packed values are {values_bytes:.1f} bytes a feature:")
    print("\n".join(f"  {name:<52}{value:,.1f}" for name, value in figures.items()))
    whole = store_population(server, events, sketches=True)
    print("\n".join([*view_lines(whole), *part_lines(whole)]), flush=True)
    return figures


def view_lines(found: StoredPopulation) -> Iterator[str]:
    """Lines of a table of views: tiles, and bytes of the field in the store."""
    rows: dict[str, list[int]] = {}
    for record in found.records():
        for name, number in rows_of(record).items():
            rows.setdefault(name, []).append(number)
    fields: dict[str, list[int]] = {}
    for name, value in found.fields():
        fields.setdefault(name, []).append(len(value))
    heads = f"{'features':>9}{'customers':>10}{'rows p50':>10}{'p99':>6}{'bytes p50':>11}{'p99':>9}{'a feature':>11}"
    yield f"  {'field in Redis':<34}{heads}"
    for name in sorted(rows):
        view, lengths, numbers = view_of(name), fields[name], rows[name]
        title = f"{name} (sketch)" if is_sketched(view) else name
        yield (
            f"  {title:<34}{len(view.features):>9}{len(lengths):>10,}"
            f"{quantile(numbers, 0.5):>10,}{quantile(numbers, 0.99):>6,}"
            f"{quantile(lengths, 0.5):>11,}{quantile(lengths, 0.99):>9,}{fmean(lengths) / len(view.features):>11.1f}"
        )


def part_lines(found: StoredPopulation) -> Iterator[str]:
    """Lines of a table of the parts of records in tables and changelog."""
    for source, table in found.tables.items():
        parts: dict[str, list[int]] = {"whole record": [len(raw) for raw in table.values()]}
        for raw in table.values():
            for name, length in parts_of(decode(raw)).items():
                parts.setdefault(name, []).append(length)
        yield f"  {f'record of {source}':<34}{'':>9}{'customers':>10}{'':>16}{'bytes p50':>11}{'p99':>9}{'mean':>11}"
        for name, lengths in parts.items():
            p50, p99 = quantile(lengths, 0.5), quantile(lengths, 0.99)
            yield f"  {name:<34}{'':>9}{len(lengths):>10,}{'':>16}{p50:>11,}{p99:>9,}{fmean(lengths):>11,.0f}"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            measured(server)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
