"""Worker whose handler counts: by key, the number and sum of its events, in the state table.

    python -m tests.kafka.counting_worker SOURCE...       settings from the environment

It prints a line for each step. A value of ``poison`` raises; one that begins with ``junk`` is quarantined. Besides the
settings the environment may hold:

    COUNTING_STORE=redis://...   every state is also pushed to this store
    COUNTING_LOSES=3             the third fetch batch is dropped after it was fetched, as a rebalance does
    COUNTING_SLOW_S=2            pause before the changelog of a fetch batch is written
    COUNTING_PUSH_S=2            pause before its states are pushed
    COUNTING_RECOVERY_S=0.2      pause before a fetch batch of a changelog is applied
    COUNTING_AHEAD_S=1.5         how far the worker's clock is put forward
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
from streams.freshness import FoldedTo
from streams.recovery import Recovery
from streams.tables import TableManager
from streams.worker import run

BatchHandler = Callable[[FetchBatch], Awaitable[None]]
FIELD, PURPOSE = "counts/service", "service"
LOSES = int(os.environ.get("COUNTING_LOSES", "0"))
SLOW_S = float(os.environ.get("COUNTING_SLOW_S", "0"))
PUSH_S = float(os.environ.get("COUNTING_PUSH_S", "0"))
STORE = RedisStore(os.environ["COUNTING_STORE"], 5_000) if "COUNTING_STORE" in os.environ else None
AHEAD_S = float(os.environ.get("COUNTING_AHEAD_S", "0"))
RECOVERY_S = float(os.environ.get("COUNTING_RECOVERY_S", "0"))


def counter(app: App, source: str) -> BatchHandler:
    table = app.state_tables[source]

    async def count(batch: FetchBatch) -> None:
        print_line("started", source, batch.partition, batch.start, batch.last_offset)
        stored = table.contents.read_many(batch.partition, {record.key for record in batch.records if record.key})
        state = {key: json.loads(value) for key, value in stored.items()}
        rejections = []
        for record in batch.records:
            if record.value == b"poison":
                raise ValueError("poison")
            if record.value is None or record.key is None or record.value.startswith(b"junk"):
                rejections.append(Rejection(record, "malformed", "no number"))
                continue
            counts = state.setdefault(record.key, {"count": 0, "sum": 0, "offset": -1})
            if record.offset > counts["offset"]:
                counts["count"] += 1
                counts["sum"] += int(record.value)
                counts["offset"] = record.offset
        await app.dead_letters.put(batch, rejections)
        await asyncio.sleep(SLOW_S)
        await table.commit(batch.partition, {key: json.dumps(value).encode() for key, value in state.items()})
        print_line("committed", source, batch.partition, batch.start, batch.last_offset)
        await asyncio.sleep(PUSH_S)
        if STORE:
            print_line("pushed", *sorted(set(push(STORE, state))))
        print_line("handled", source, batch.partition, batch.start, batch.last_offset)

    return count


def push(store: RedisStore, state: dict[bytes, Any]) -> list[WriteOutcome]:
    """Each key is a subject, its state a field that the store fences by the offset of its last event."""
    writes = [
        FieldWrite(
            key.decode(),
            FIELD,
            PURPOSE,
            pack_field(settings().generation, counts["offset"], 1, json.dumps(counts).encode()),
        )
        for key, counts in state.items()
    ]
    return store.write(writes, int(time.time() * 1000))


async def purge(batch: FetchBatch) -> None:
    print_line("purged", batch.partition, batch.last_offset)


async def purge_everyone(partition: int, subjects: Sequence[str]) -> None:
    print_line("everyone", partition, *subjects)


async def fresh(folded_to_ms: FoldedTo) -> None:
    for (topic, partition), time_ms in folded_to_ms.items():
        print_line("fresh", topic, partition, time_ms)


class LosingScheduler(FetchBatchScheduler):
    """Scheduler that drops one fetch batch of events after the fetcher has moved past it."""

    seen: Counter[str] = Counter()

    def iterate(self, records: Any) -> Any:
        for tp, batch in super().iterate(records):
            self.seen[tp.topic] += 1
            if tp.topic.startswith("events.") and self.seen[tp.topic] == LOSES:
                print_line("lost", tp.topic, tp.partition, batch.start)
            else:
                yield tp, batch


def slow_down(recovery: Recovery) -> None:
    apply = recovery.apply

    async def apply_slowly(batch: FetchBatch) -> None:
        await asyncio.sleep(RECOVERY_S)
        await apply(batch)

    recovery.apply = apply_slowly  # type: ignore[method-assign]


def print_line(*words: object) -> None:
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
            print_line("assigned", json.dumps(by_topic))

        slow_down(cast(TableManager, app.tables).recovery)
        if LOSES:
            app.conf.ConsumerScheduler = LosingScheduler
        handlers = {names.events(source, conf.generation): counter(app, source) for source in sources}
        handlers[names.purge(conf.generation)] = purge

        async def handle(batches: Sequence[FetchBatch]) -> None:
            await asyncio.gather(*(handlers[batch.topic](batch) for batch in batches))

        return Pipeline(handlers, handle, fresh, purge_everyone)

    run(conf, sources, build_pipeline)


if __name__ == "__main__":
    main(sys.argv[1:])
