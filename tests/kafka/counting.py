"""A worker whose handler counts: by key, the number and sum of its events, in the state table.

    python -m tests.kafka.counting SOURCE...       settings from the environment

It says what it does, a line each, on standard output. A value of ``poison`` raises, one that begins with ``junk`` is
put aside. In the environment, besides:

    COUNTING_STORE=redis://...   every state is pushed to this store, too
    COUNTING_LOSES=3             the third bundle is lost behind the fetcher's back, as a rebalance does
    COUNTING_SLOW_S=2            it takes so long for a bundle before its changelog is written
    COUNTING_PUSH_S=2            and so long before its states are pushed
    COUNTING_RECOVERY_S=0.2      and for a bundle of a changelog read back
    COUNTING_AHEAD_S=1.5         its clock is put forward
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from featurestore import names
from featurestore.config import settings
from featurestore.store.protocol import FieldWrite, WriteOutcome
from featurestore.store.redis import RedisStore
from featurestore.tiles.stored_field import pack_field
from streams.app import App, Pipeline
from streams.dead_letters import Rejection
from streams.fetch_batches import FetchBatch, FetchBatchScheduler
from streams.freshness import Watermarks
from streams.recovery import Recovery
from streams.tables import TableManager
from streams.worker import run

Handles = Callable[[FetchBatch], Awaitable[None]]
FIELD, PURPOSE = "counts/service", "service"
LOSES = int(os.environ.get("COUNTING_LOSES", "0"))
SLOW_S = float(os.environ.get("COUNTING_SLOW_S", "0"))
PUSH_S = float(os.environ.get("COUNTING_PUSH_S", "0"))
STORE = RedisStore(os.environ["COUNTING_STORE"], 5_000) if "COUNTING_STORE" in os.environ else None
AHEAD_S = float(os.environ.get("COUNTING_AHEAD_S", "0"))
RECOVERY_S = float(os.environ.get("COUNTING_RECOVERY_S", "0"))


def counter(app: App, source: str) -> Handles:
    table = app.state_tables[source]

    async def count(bundle: FetchBatch) -> None:
        say("took", source, bundle.partition, bundle.start, bundle.last_offset)
        kept = table.contents.read_many(bundle.partition, {record.key for record in bundle.records if record.key})
        state = {key: json.loads(value) for key, value in kept.items()}
        rejected = []
        for record in bundle.records:
            if record.value == b"poison":
                raise ValueError("poison")
            if record.value is None or record.key is None or record.value.startswith(b"junk"):
                rejected.append(Rejection(record, "malformed", "no number"))
                continue
            mine = state.setdefault(record.key, {"count": 0, "sum": 0, "offset": -1})
            if record.offset > mine["offset"]:
                mine["count"] += 1
                mine["sum"] += int(record.value)
                mine["offset"] = record.offset
        await app.dead_letters.put(bundle, rejected)
        await asyncio.sleep(SLOW_S)
        await table.commit(bundle.partition, {key: json.dumps(value).encode() for key, value in state.items()})
        say("kept", source, bundle.partition, bundle.start, bundle.last_offset)
        await asyncio.sleep(PUSH_S)
        if STORE:
            say("pushed", *sorted(set(push(STORE, state))))
        say("handled", source, bundle.partition, bundle.start, bundle.last_offset)

    return count


def push(store: RedisStore, state: dict[bytes, Any]) -> list[WriteOutcome]:
    """Each key is a subject, its state a field that the store fences by the offset of its last event."""
    writes = [
        FieldWrite(
            key.decode(),
            FIELD,
            PURPOSE,
            pack_field(settings().generation, mine["offset"], 1, json.dumps(mine).encode()),
        )
        for key, mine in state.items()
    ]
    return store.write(writes, int(time.time() * 1000))


async def purge(bundle: FetchBatch) -> None:
    say("purged", bundle.partition, bundle.last_offset)


async def fresh(marks: Watermarks) -> None:
    for (topic, partition), until_ms in marks.items():
        say("fresh", topic, partition, until_ms)


class LosingScheduler(FetchBatchScheduler):
    """Loses one bundle of events after the fetcher has moved past it."""

    seen: Counter[str] = Counter()

    def iterate(self, records: Any) -> Any:
        for tp, bundle in super().iterate(records):
            self.seen[tp.topic] += 1
            if tp.topic.startswith("events.") and self.seen[tp.topic] == LOSES:
                say("lost", tp.topic, tp.partition, bundle.start)
            else:
                yield tp, bundle


def slow_down(recovery: Recovery) -> None:
    take = recovery.apply

    async def take_slowly(bundle: FetchBatch) -> None:
        await asyncio.sleep(RECOVERY_S)
        await take(bundle)

    recovery.apply = take_slowly  # type: ignore[method-assign]


def say(*words: object) -> None:
    print(*words, flush=True)


def put_clock_forward() -> None:
    true = time.time
    time.time = lambda: true() + AHEAD_S


def main(sources: list[str]) -> None:
    conf = settings()
    put_clock_forward()

    def build_pipeline(app: App) -> Pipeline:
        @app.on_rebalance_complete.connect(weak=False)
        async def recovered(_app: Any, **_options: Any) -> None:
            by_topic: dict[str, list[int]] = {}
            for topic, partition in sorted(app.assignor.assigned_actives()):
                by_topic.setdefault(topic, []).append(partition)
            say("assigned", json.dumps(by_topic))

        slow_down(cast(TableManager, app.tables).recovery)
        if LOSES:
            app.conf.ConsumerScheduler = LosingScheduler
        handlers = {names.events(source, conf.generation): counter(app, source) for source in sources}
        handlers[names.purge(conf.generation)] = purge

        async def handle(bundles: Sequence[FetchBatch]) -> None:
            await asyncio.gather(*(handlers[bundle.topic](bundle) for bundle in bundles))

        return Pipeline(handlers, handle, fresh)

    run(conf, sources, build_pipeline)


if __name__ == "__main__":
    main(sys.argv[1:])
