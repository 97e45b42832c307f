"""Random histories of crashes, permission changes and losses end in the values of the raw events, and in nothing else.

One partition, its events and purges, and a worker that crashes between any two steps, while permissions change, the
store is emptied or loses the hash of a subject, idle subjects are evicted, and the partition is revoked and comes back.
Each seed is one history.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial

import pytest
from faust.types import TP

from featurestore.definitions import Event, FeatureService, Registry
from featurestore.permission import Permission, PurposePermission
from featurestore.serving.answer import Status
from featurestore.serving.reader import FeatureReader
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import FieldWrite, WriteOutcome
from featurestore.tiles.state_record import decode
from streams import partition_queues, republisher
from streams.evictions import IdleSubjects
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.partition_queues import PartitionQueues
from streams.processing import MicroBatchProcessor, SourceProcessor
from streams.republisher import Republisher
from streams.retrying_store import RetryingStore
from streams.watermarks import WatermarkPublisher
from tests.kit.purchases import EPOCH_S, Purchase, both, expected, iso, purchases, refunds, spend
from tests.kit.state_tables import MemoryStateTable
from tests.kit.stores import vouch
from tests.streams.environment import PURGE, TOPIC, DeadLetterCollector

EVENTS, PURGES = TP(TOPIC, 0), TP(PURGE, 0)
SUBJECTS = ["00000000" + digit * 24 for digit in "abcd"]  # of partition 0
VIEWS = {"service": [spend, both, refunds], "personalisation": [both]}
IDLE_S = 3_600
AGES_MS = (0, 0, 500, 400_000, 7_200_000, 3 * 86_400_000)


class Crash(Exception):
    """A crash of the worker at this step."""


class CrashingTable(MemoryStateTable):
    crash_maybe: Callable[[], None] = staticmethod(lambda: None)

    async def commit(self, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        await asyncio.sleep(0)
        self.crash_maybe()
        await super().commit(partition, changes)
        self.crash_maybe()


class CrashingStore(MemoryStore):
    meanwhile: Callable[[], int | None] = staticmethod(lambda: None)

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        most = self.meanwhile()
        if most is None:
            return super().write(writes, now_ms)
        super().write(writes[:most], now_ms)
        raise Crash


class History:
    """Contents of Kafka, database, table and store. ``logs``: key, Kafka's time and value by partition."""

    def __init__(self, seed: int) -> None:
        self.random, self.now_ms, self.changes = random.Random(seed), EPOCH_S * 1000, 0
        self.logs: dict[TP, list[tuple[str, int, bytes | None]]] = {EVENTS: [], PURGES: []}
        self.committed = dict.fromkeys(self.logs, 0)
        self.permissions = {subject: Permission(1, 0, {}) for subject in SUBJECTS}
        self.earlier: list[tuple[str, str, PurposePermission, int]] = []  # subject, purpose, permission, its end
        self.table, self.store = CrashingTable(), CrashingStore()
        self.empty_store()

    def empty_store(self) -> None:
        """Empty the store and publish every permission. Of a subject whose hash was lost, events may have been passed
        by: its grants start later, as they do by the entries of passed-by subjects (tests/model)."""
        lost = [subject for subject in SUBJECTS if subject not in self.store._permissions]
        self.store.restart(emptied=True)
        for subject in lost:
            self.start_later(subject)
        self.store.publish_permissions(self.permissions)
        vouch(self.store)

    def change_permission(self) -> None:
        """Grant, withdraw, pause or lift a purpose. A grant, and a lifted one, begins after all existing events."""
        subject, purpose = self.random.choice(SUBJECTS), self.random.choice(list(VIEWS))
        purposes = dict(self.permissions[subject].purposes)
        self.changes += 1
        self.now_ms += 2
        old, chance = purposes.get(purpose), self.random.random()
        if old and old.allowed and chance < 0.6:
            purposes[purpose] = PurposePermission(False, old.grant_id, old.since_ms, paused=True)
            self.earlier.append((subject, purpose, old, self.now_ms))
        elif old and old.paused and chance < 0.9:
            purposes[purpose] = PurposePermission(True, old.grant_id, self.now_ms - 1)
            self.logs[PURGES].append((subject, self.now_ms, None))
        elif old and (old.allowed or old.paused):
            purposes[purpose] = PurposePermission(False, old.grant_id, old.since_ms)
            self.logs[PURGES].append((subject, self.now_ms, None))
        else:
            purposes[purpose] = PurposePermission(True, self.changes, self.now_ms - 1)
        self.permissions[subject] = Permission(1, self.changes, purposes)
        self.publish(subject)

    def publish(self, subject: str) -> None:
        """Publish a permission. If none was stored, its grants start later, and a purge is sent."""
        published = self.store.publish_permissions({subject: self.permissions[subject]}, now_ms=self.now_ms)
        if published[subject].recreated:
            self.start_later(subject)
            self.store.publish_permissions({subject: self.permissions[subject]}, now_ms=self.now_ms)

    def start_later(self, subject: str) -> None:
        """Start the grants of a subject after all existing events, and send a purge."""
        if not (purposes := dict(self.permissions[subject].purposes)):
            return
        self.changes += 1
        self.now_ms += 2
        for purpose, old in purposes.items():
            if old.allowed or old.paused:
                self.earlier.append((subject, purpose, old, self.now_ms))
                purposes[purpose] = PurposePermission(old.allowed, old.grant_id, self.now_ms - 1, paused=old.paused)
        self.permissions[subject] = Permission(1, self.changes, purposes)
        self.logs[PURGES].append((subject, self.now_ms, None))

    def lose_hash(self) -> None:
        self.store.delete(self.random.choice(SUBJECTS))

    def evict(self, subject: str | None = None) -> None:
        """Evict a subject, though it may not be idle."""
        self.store.evict([subject or self.random.choice(SUBJECTS)], idle_since_s=2**32)

    def request_values(self) -> None:
        """Purge the evicted subjects, as after a read of each."""
        for subject in SUBJECTS:
            if self.is_evicted(subject):
                self.logs[PURGES].append((subject, self.now_ms, None))

    def is_evicted(self, subject: str) -> bool:
        return self.store.read([subject], [], [], 1_000).subjects[0].is_evicted

    def audit(self) -> None:
        """Put each lost permission again."""
        for subject in SUBJECTS:
            if subject not in self.store._permissions:
                self.publish(subject)

    def append_event(self) -> None:
        """Append an event, sometimes one that exists already."""
        self.now_ms += self.random.choice((1, 1_000, 60_000, 3_600_000))
        if (log := self.logs[EVENTS]) and self.random.random() < 0.15:
            subject, _, raw = self.random.choice(log)
        else:
            subject, at_ms = self.random.choice(SUBJECTS), self.now_ms - self.random.choice(AGES_MS)
            kind, item = self.random.choice(("bought", "returned")), self.random.choice((None, "shoe"))
            data = Purchase(kind=kind, amount=Decimal(self.random.randint(1, 99)), item=item)
            raw = purchases.encode(id=f"e{len(log)}", source="shop", subject=subject, time=iso(at_ms), data=data)
        log.append((subject, self.now_ms, raw))

    def events_under(self, subject: str, grant: PurposePermission, until_ms: int = 2**53) -> dict[int, Event]:
        """The events that count under a grant, of those that Kafka had by a time."""
        events = {}
        for key, kafka_ms, raw in self.logs[EVENTS]:
            if key == subject and raw and grant.since_ms <= kafka_ms <= until_ms:
                event = purchases.decode(raw)
                if event.time_ms >= grant.since_ms:
                    events[event.event_id_hash] = event
        return events

    def events_before_its_start(self, subject: str, purpose: str, grant_id: int) -> dict[int, Event]:
        """The events that a worker may have counted before a grant was paused, or started later."""
        events: dict[int, Event] = {}
        for name, earlier_purpose, grant, end_ms in self.earlier:
            if (name, earlier_purpose, grant.grant_id) == (subject, purpose, grant_id) and grant.allowed:
                events |= self.events_under(subject, grant, end_ms)
        return events


class WorkerLife:
    """One worker process, from the committed offsets to its end."""

    def __init__(self, history: History) -> None:
        self.history, self.crashed, self.fetched = history, asyncio.Event(), dict(history.committed)
        clock = lambda: history.now_ms  # noqa: E731
        self.retrying, self.queues = RetryingStore(history.store), PartitionQueues()
        registry = Registry([purchases, spend, both, refunds])
        processor = SourceProcessor(purchases, registry, history.table, generation=1, partitions=8, clock=clock)
        self.queues.handle = MicroBatchProcessor({TOPIC: processor}, self.retrying, DeadLetterCollector(), clock).handle
        idle = IdleSubjects([history.table], IDLE_S, clock)  # type: ignore[list-item]
        self.republisher = Republisher(self.queues, self.retrying, clock, idle)
        self.watermarks = WatermarkPublisher({TOPIC: processor}, self.queues, self.retrying, self.republisher, 1)
        self.queues.restart(history.committed)

    def end_process(self, reason: str, error: BaseException, **where: object) -> None:
        assert isinstance(error, Crash), error
        self.crashed.set()
        raise asyncio.CancelledError

    async def fetch(self, most: int) -> None:
        for tp, log in self.history.logs.items():
            start = self.fetched[tp]
            if rows := log[start : start + most]:
                records = [KafkaRecord(start + i, at, key.encode(), raw) for i, (key, at, raw) in enumerate(rows)]
                self.fetched[tp] = start + len(rows)
                ack = partial(self.history.committed.__setitem__, tp, self.fetched[tp])
                await self.queues.put(FetchBatch(*tp, start, records), ack)

    async def publish(self) -> None:
        if self.queues.applied.get(EVENTS, -1) >= len(self.history.logs[EVENTS]):
            await self.watermarks.publish({EVENTS: self.history.now_ms})

    async def revoke(self) -> None:
        self.queues.revoke(self.history.logs)
        await asyncio.sleep(0.001)
        self.queues.restart(self.history.committed)

    def break_a_write(self) -> None:
        history = self.history

        def meanwhile() -> int | None:
            del history.store.meanwhile
            chance = history.random.random()
            if chance < 0.5:
                return history.random.randint(0, 5)
            another = history.change_permission if chance < 0.75 else history.lose_hash
            if chance >= 0.85:
                another = history.evict if chance < 0.95 else history.empty_store
            another()
            return None

        history.store.meanwhile = meanwhile  # type: ignore[method-assign]

    def break_a_commit(self) -> None:
        def crash_maybe() -> None:
            if self.history.random.random() < 0.5:
                del self.history.table.crash_maybe
                raise Crash

        self.history.table.crash_maybe = crash_maybe  # type: ignore[method-assign]

    async def run_steps(self) -> None:
        chance, history = self.history.random, self.history
        steps: list[Callable[[], object]] = [
            history.append_event,
            history.change_permission,
            history.lose_hash,
            history.audit,
            self.break_a_write,
            self.break_a_commit,
            history.evict,
            history.request_values,
        ]
        concurrent = [lambda: self.fetch(chance.choice((1, 2, 5, 50))), self.publish, self.revoke]
        tasks = []
        for _ in range(chance.randrange(2, 30)):
            if chance.random() < 0.5:
                chance.choices(steps, (24, 12, 2, 4, 4, 4, 6, 3))[0]()
            elif chance.random() < 0.02:
                history.empty_store()
            else:
                tasks.append(asyncio.create_task(chance.choices(concurrent, (6, 3, 1))[0]()))
            await asyncio.sleep(chance.choice((0, 0, 0.0005)))
            if self.crashed.is_set():
                break
        vars(history.store).pop("meanwhile", None)
        vars(history.table).pop("crash_maybe", None)

    async def finish(self) -> None:
        """Apply everything and advance every watermark."""
        await self.fetch(10**6)
        while not self.queues.idle(0):
            await asyncio.sleep(0)
        await self.publish()
        while self.republisher.reason:
            await asyncio.sleep(0)
        await self.publish()


async def run(history: History, patch: pytest.MonkeyPatch, *, last: bool) -> None:
    life = WorkerLife(history)
    patch.setattr(partition_queues, "end_process", life.end_process)
    patch.setattr(republisher, "end_process", life.end_process)
    await (life.finish() if last else life.run_steps())
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    life.retrying._threads.shutdown()


@pytest.mark.parametrize("seed", range(60))
def test_served_values_equal_those_of_the_raw_events(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(republisher, "PAGE_SUBJECTS", 1)
    history = History(seed)
    asyncio.run(run(history, monkeypatch, last=True))  # watermarks exist, so nothing is republished without need
    for _ in range(history.random.randint(1, 6)):
        asyncio.run(run(history, monkeypatch, last=False))
    history.audit()
    asyncio.run(run(history, monkeypatch, last=True))  # a republication may leave idle subjects out
    history.request_values()
    asyncio.run(run(history, monkeypatch, last=True))
    reader = FeatureReader(history.store, 8)
    for subject in SUBJECTS:
        record = decode(raw) if (raw := history.table.values.get(subject.encode())) else None
        for purpose, views in VIEWS.items():
            grant = history.permissions[subject].purposes.get(purpose)
            service = FeatureService("chat", views, purpose=purpose)
            answer = reader.read(service, purpose, [subject], now_ms=history.now_ms, timeout_ms=100)[0]
            for view in views:
                status = answer.views[view.name].status
                assert not history.is_evicted(subject)
                if grant is not None and grant.paused:
                    assert status is Status.WITHHELD
                    kept = [one.grant_ids.get(purpose) for one in record.views.get(view.name, ())] if record else []
                    assert set(kept) <= {None, grant.grant_id}
                    has_values = f"{view.name}/{purpose}" in history.store._fields.get(subject, {})
                    assert has_values == (grant.grant_id in kept)
                    continue
                if grant is None or not grant.allowed:
                    assert status is Status.WITHHELD
                    assert f"{view.name}/{purpose}" not in history.store._fields.get(subject, {})
                    states = record.views.get(view.name, ()) if record else ()
                    assert not any(purpose in one.grant_ids for one in states)
                    continue
                counted = history.events_under(subject, grant)
                perhaps = counted | history.events_before_its_start(subject, purpose, grant.grant_id)
                assert status in (Status.PRESENT, Status.MISSING)
                for f in view.features:
                    least = expected(f, list(counted.values()), history.now_ms, view)
                    if len(perhaps) == len(counted):
                        assert answer.features[f.name] == least
                    elif "_count_" in f.name:
                        most = expected(f, list(perhaps.values()), history.now_ms, view)
                        assert least <= answer.features[f.name] <= most
