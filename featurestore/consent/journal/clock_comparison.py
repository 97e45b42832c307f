"""Comparison of the database's clock with the brokers', in the store verifier's process.

A grant begins by the database's clock, and an event is recorded by a broker's. If the database's clock is behind by
more than START_DELAY_MS, events from before a consent count under it: then nothing is vouched for. If it is ahead,
grants begin later than they could, and every answer states that start: it is reported only.

A broker's clock is read from the time at which it appends a record to the topic that stream workers use for this, too.
The database's is read before and after it, so a slow answer can't pass for a difference.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Protocol

import structlog
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer
from django.db import DatabaseError, InterfaceError, close_old_connections

from featurestore.clock import database_now, milliseconds
from featurestore.consent.models import JournalCheckpoint
from featurestore.consent.permission_derivation import START_DELAY_MS
from featurestore.servers.kafka import KafkaCluster

log = structlog.get_logger(__name__)

STEP_S = 10
TIMEOUT_S = 3.0


class ClockUnreadable(Exception):
    """A broker's clock can't be read now; the message states why and what to do."""


class BrokerClocks(Protocol):
    """The brokers' clocks. Tests have them in memory."""

    def now_ms(self, partition: int) -> int:
        """The time of the broker that leads a partition. Raises ClockUnreadable."""


class KafkaClocks:
    """The clocks of the brokers that lead the partitions of a topic (``featurestore.names.clock``)."""

    def __init__(self, kafka: KafkaCluster, topic: str):
        self.kafka, self.topic = kafka, topic

    @cached_property
    def _producer(self) -> Producer:
        timeout_ms = int(TIMEOUT_S * 1000)
        return Producer({**self.kafka.librdkafka(), "linger.ms": 0, "delivery.timeout.ms": timeout_ms, "log_level": 0})

    def now_ms(self, partition: int) -> int:
        found: list[int] = []
        failures = [f"no answer in {TIMEOUT_S} s"]

        def delivered(error: KafkaError | None, message: Message) -> None:
            kind, time_ms = message.timestamp()
            if error is not None:
                failures.append(error.str())
            elif kind != TIMESTAMP_LOG_APPEND_TIME:
                failures.append("it keeps no append times. Run: python -m streams topics apply")
            else:
                found.append(time_ms)

        try:
            self._producer.produce(self.topic, b"", partition=partition, on_delivery=delivered)
            self._producer.flush(TIMEOUT_S + 1)
        except (BufferError, KafkaException) as error:
            failures.append(str(error))
        if not found:
            raise ClockUnreadable(f"{self.topic} of Kafka at {self.kafka}: {failures[-1]}")
        return found[0]


class ClockComparer:
    """Comparison of one process. ``step`` is called in a thread of its own; node verifiers ask ``is_behind``."""

    def __init__(self, brokers: BrokerClocks | None, partitions: int, clock: Callable[[], datetime] = database_now):
        self.brokers, self.partitions, self.clock = brokers, partitions, clock
        self._behind_ms = 0
        self._failure = ""

    def is_behind(self) -> bool:
        """Whether the database's clock was so far behind a broker's that events before a consent would count."""
        return self._behind_ms > START_DELAY_MS

    def step(self) -> None:
        """Compare once. A failure is logged once and tried again; what was found before holds until then."""
        if self.brokers is None:
            return
        try:
            close_old_connections()
            ahead_ms = [self._ahead_ms(self.brokers, partition) for partition in range(self.partitions)]
            self._behind_ms = -min(ahead_ms)
            worst_ms = max(ahead_ms, key=abs)
            JournalCheckpoint.objects.update(database_ahead_ms=worst_ms)
        except ClockUnreadable as error:
            self._fail(str(error))
        except (DatabaseError, InterfaceError):
            self._fail("the database is unavailable")
        else:
            self._fail("")
            if abs(worst_ms) > START_DELAY_MS:
                log.error("the database's clock and a broker's differ: synchronise both by NTP", ahead_ms=worst_ms)

    def _ahead_ms(self, brokers: BrokerClocks, partition: int) -> int:
        """How far the database's clock is ahead of a broker's at least, or less than 0: behind it at least."""
        before_ms = milliseconds(self.clock())
        broker_ms = brokers.now_ms(partition)
        after_ms = milliseconds(self.clock())
        return max(before_ms - broker_ms, 0) or min(after_ms - broker_ms, 0)

    def _fail(self, why: str) -> None:
        if why and why != self._failure:
            log.warning("the database's clock can't be compared with the brokers'", reason=why)
        self._failure = why
