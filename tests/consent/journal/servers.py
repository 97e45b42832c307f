"""Installation on a real PostgreSQL that loses commits, with the journal in a real Kafka, and a store in memory."""

import itertools
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from confluent_kafka.admin import AdminClient, NewTopic
from django.db import connections

from devservers.postgres_server import PostgresServer
from devservers.waiting import eventually
from featurestore.consent.journal.comparison import JournalComparer
from featurestore.consent.journal.losses import find_losses
from featurestore.consent.journal.takeover import TakeOver, take_over
from featurestore.consent.journal.topic import KafkaJournal
from featurestore.consent.vouching.node_verifier import NodeVerifier, VerifierState
from featurestore.servers.kafka import KafkaCluster
from featurestore.store.memory import MemoryStore
from tests.kit.clock import Clock, at
from tests.kit.databases import use
from tests.kit.shop import Shop
from tests.kit.verifier import verifier_of

NUMBERS = itertools.count(os.getpid() * 100)


def new_topic(kafka: str, **config: str) -> str:
    name = f"consent.journal.{next(NUMBERS)}"
    admin = AdminClient({"bootstrap.servers": kafka})
    for created in admin.create_topics([NewTopic(name, 1, config=config)]).values():
        created.result(30)
    return name


@dataclass
class LossyInstallation:
    """The shop's services on one PostgreSQL after another, and one store verifier's process after another."""

    server: PostgresServer
    shop: Shop
    clock: Clock
    kafka: str
    cleaning: ExitStack
    topic: str = field(init=False)
    comparer: JournalComparer = field(init=False)
    verifier: NodeVerifier = field(init=False)

    def __post_init__(self) -> None:
        self.topic = new_topic(self.kafka)
        self.start_verifier()

    @property
    def store(self) -> MemoryStore:
        return self.shop.store

    def start_verifier(self) -> None:
        """Start another process of the store verifier, which remembers nothing."""
        self.comparer = JournalComparer(KafkaJournal(KafkaCluster(self.kafka), self.topic), self.clock)
        self.verifier = verifier_of(self.store, self.clock, journal=self.comparer)

    def step(self) -> VerifierState:
        self.comparer.step()
        state = self.verifier.step()
        self.clock.pass_s(0.5)
        return state

    def until(self, wanted: VerifierState) -> None:
        eventually(lambda: self.step() is wanted, f"the store verifier's state is {wanted}", 30)

    def until_latched(self) -> None:
        """Step until denial is latched; nothing is vouched for before. A verifier that was killed held the lease."""
        for _ in range(100):
            if (state := self.step()) is VerifierState.LATCHED:
                return
            assert state is not VerifierState.VOUCHING
        raise AssertionError(self.verifier.state)

    def lose(self, replacement: PostgresServer, start: Callable[[], None]) -> None:
        """Kill the database's server and go on with another one."""
        connections["default"].close()
        self.server.kill()
        start()
        self.server = replacement
        use(replacement.url)

    def take_over(self, when: float = 5000) -> TakeOver:
        journal = KafkaJournal(KafkaCluster(self.kafka), self.topic)
        return take_over(find_losses(journal, self.store), journal, "petra", now=at(when))

    def added(self, server: PostgresServer) -> PostgresServer:
        """A server that ends with the test."""
        clean_up(server, self.cleaning)
        return server


def clean_up(server: PostgresServer, cleaning: ExitStack) -> None:
    """End a server, and remove its folder, with the test."""
    cleaning.callback(shutil.rmtree, server.folder)
    cleaning.callback(server.kill)
