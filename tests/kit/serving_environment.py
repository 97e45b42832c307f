"""Serving environment of the API's tests: permissions, folded events, and a store and a Kafka that can fail."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from featurestore.catalog import registry
from featurestore.config import settings
from featurestore.identity import partition_of, subject_of
from featurestore.ingest.acknowledged_writer import EncodedEvent
from featurestore.ingest.errors import NotAcknowledged
from featurestore.ingest.recent_events import Identity
from featurestore.permission import Permission, PurposePermission
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import FieldWrite, Watermark, WriteOutcome
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.state_record import StateRecord
from featurestore.tiles.stored_field import field_name, pack_field
from featurestore.tiles.view_codec import ViewCodec
from tests.kit.stores import vouch


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW_MS = ms("2026-11-22T12:00:00")
SINCE_MS = ms("2026-11-01T00:00:00")


class FakeKafka(list[EncodedEvent]):
    """A writer of events that keeps them in memory, while it is available."""

    available = True

    def write(self, events: list[EncodedEvent]) -> None:
        if not self.available:
            raise NotAcknowledged("unavailable")
        self.extend(events)


class FakeRecentEvents(set[Identity]):
    """The recent events, in memory."""

    def repeats(self, client: str, events: Sequence[Identity], now_ms: int) -> list[bool]:
        return [event in self or event in events[:i] for i, event in enumerate(events)]

    def add(self, client: str, events: Sequence[Identity], now_ms: int) -> None:
        self.update(events)


class ServingEnvironment:
    """A vouched store with fresh watermarks, in memory and at noon by default, until a test breaks it."""

    def __init__(self, store: Any = None, now_ms: int = NOW_MS) -> None:
        self.kafka, self.recent_events = FakeKafka(), FakeRecentEvents()
        self.store, self.now_ms = store or MemoryStore(), now_ms
        self.since_ms = now_ms - NOW_MS + SINCE_MS
        self.restore_store()

    def restore_store(self) -> None:
        """Give the store all but customers: a vouch key, and a watermark for each partition."""
        self.vouch()
        incarnation = self.store.read([], [], [], 100).nodes[0].incarnation
        for source in registry.sources:
            coverage_starts_ms = {view.fingerprint: 0 for view in registry.views_of(source)}
            for partition in range(settings().partitions):
                self.store.advance_watermark(
                    source, partition, Watermark(1, 1, self.now_ms - 400, coverage_starts_ms, incarnation)
                )

    def vouch(self) -> None:
        vouch(self.store, sequence=1)

    def permit(self, customer_id: str, **purposes: bool) -> None:
        """Publish a permission: purposes allowed or refused since the 1st of November."""
        grants = {name: PurposePermission(allowed, 1, self.since_ms) for name, allowed in purposes.items()}
        self.store.publish_permissions({self.subject(customer_id): Permission(1, 1, grants)})

    def fold_events(self, customer_id: str, source: str, *events: tuple[str, dict[str, Any]]) -> None:
        """Fold events, each a time and its data, and write the resulting values to the store."""
        subject, spec = self.subject(customer_id), registry.sources[source]
        views = registry.views_of(source)
        arrivals = []
        for i, (time, data) in enumerate(events):
            struct = msgspec.convert(data, spec.data)
            at = datetime.fromtimestamp(ms(time) / 1000, UTC)
            raw = spec.encode(id=f"{source}-{i}", source="test", subject=subject, time=at, data=struct)
            arrivals.append(Arrival(i, ms(time), spec.decode(raw)))
        permission = self.store.read([subject], [], [], 100).subjects[0].permission
        assert permission is not None
        coverage_starts_ms = {view.fingerprint: 0 for view in views}
        grants = permission.purposes
        record = (
            SourceFold(views)
            .fold_events(StateRecord(), arrivals, grants, coverage_starts_ms=coverage_starts_ms, counts=Counter())
            .record
        )
        codecs = {view.name: ViewCodec(view) for view in views}
        writes = [
            FieldWrite(
                subject, field_name(view, p), p, pack_field(1, 1, grant, codecs[view].suffix_aggregates(kept.tiles))
            )
            for view, states in record.views.items()
            for kept in states
            for p, grant in kept.grant_ids.items()
        ]
        assert set(self.store.write(writes, self.now_ms)) == {WriteOutcome.DONE}

    @staticmethod
    def subject(customer_id: str) -> str:
        return subject_of(customer_id, settings().subject_secret.encode())

    @classmethod
    def partition(cls, customer_id: str) -> int:
        return partition_of(cls.subject(customer_id), settings().partitions)
