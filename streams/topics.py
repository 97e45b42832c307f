"""Topics as code: which there must be, how they differ from the cluster's, and the steps between.

    python -m streams topics plan
    python -m streams topics apply

Every event topic, its changelog and the purge topic have the same number of partitions, for partition n of all of them
belongs to one worker.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from featurestore import names
from featurestore.config import Settings
from streams.changelog import LARGEST_BATCH_BYTES, LARGEST_REQUEST_BYTES
from streams.lease import longest_ms

DAY_MS = 24 * 3600 * 1000
TIMEOUT_S = 20
LEASE = "message.timestamp.before.max.ms"
EMBEDDED_PARTITIONS = 4  # librdkafka's broker makes topics by itself, always with so many


log = structlog.get_logger(__name__)


class TopicsError(RuntimeError):
    """The cluster's topics do not fit; the message says what to do."""


@dataclass(frozen=True)
class Topic:
    """A topic there must be. ``config`` holds only what differs from Kafka's defaults."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]


@dataclass
class Plan:
    """What to do to a cluster: topics to create, settings to change."""

    create: list[Topic] = field(default_factory=list)
    alter: dict[str, dict[str, str]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The plan as one reads it."""
        made = [f"create {topic.name}: {topic.partitions} partitions, {_listed(topic.config)}" for topic in self.create]
        return [*made, *(f"change {name}: {_listed(config)}" for name, config in self.alter.items())]


def wanted(settings: Settings, sources: Iterable[str]) -> list[Topic]:
    """Every topic of this installation."""
    sources = list(sources)
    durable = {"min.insync.replicas": "2"} if settings.replication >= 3 else {}
    events = {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * DAY_MS),
        "message.timestamp.type": "LogAppendTime",  # consent and lateness are judged by the broker's clock
        **durable,
    }
    changelog = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.ms": str(DAY_MS // 4),
        "max.compaction.lag.ms": str(DAY_MS),  # erased values leave the disk within a day
        "delete.retention.ms": str(DAY_MS),
        "max.message.bytes": str(LARGEST_BATCH_BYTES),
        **durable,
    }
    if settings.stream_lease:
        changelog[LEASE] = str(longest_ms(settings))
    by_name = {names.events(source, settings.generation): events for source in sources}
    by_name |= {names.changelog(source, settings.generation): changelog for source in sources}
    by_name[names.purge(settings.generation)] = events
    by_name[names.dead_letters(settings.generation)] = {**events, "max.message.bytes": str(LARGEST_REQUEST_BYTES)}
    by_name[names.clock(settings.generation)] = {**events, "retention.ms": str(DAY_MS)}
    return [Topic(name, settings.partitions, settings.replication, config) for name, config in by_name.items()]


def plan(settings: Settings, sources: Iterable[str]) -> Plan:
    """Steps from the cluster as it is to the cluster as it should be; refuses what no step can mend."""
    admin = _admin(settings)
    present = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=TIMEOUT_S).topics.items()}
    topics = wanted(settings, sources)
    _refuse_other_partitions(topics, present, settings)
    result = Plan(create=[topic for topic in topics if topic.name not in present])
    resources = {ConfigResource(ConfigResource.Type.TOPIC, t.name): t for t in topics if t.name in present}
    described = admin.describe_configs(list(resources)) if resources else {}
    for resource, future in described.items():
        actual = future.result(TIMEOUT_S)
        expected = resources[resource].config
        differing = {key: value for key, value in expected.items() if actual[key].value != value}
        if differing:
            result.alter[resource.name] = differing
    return result


def apply(settings: Settings, sources: Iterable[str]) -> Plan:
    """Carry out the plan and return it."""
    steps = plan(settings, sources)
    admin = _admin(settings)
    new = [
        NewTopic(topic.name, num_partitions=topic.partitions, replication_factor=topic.replication, config=topic.config)
        for topic in steps.create
    ]
    for future in admin.create_topics(new).values() if new else ():
        future.result(TIMEOUT_S)
    _wait_until_known(admin, {topic.name for topic in steps.create})
    changed = [
        ConfigResource(
            ConfigResource.Type.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()
            ],
        )
        for name, config in steps.alter.items()
    ]
    for future in admin.incremental_alter_configs(changed).values() if changed else ():
        future.result(TIMEOUT_S)
    return steps


def wait_for_cluster(settings: Settings) -> None:
    """Return when the cluster answers: it may start later than its clients."""
    admin = _admin(settings)
    while True:
        try:
            admin.list_topics(timeout=2)
        except KafkaException as error:
            log.warning("waiting for Kafka", bootstrap=settings.kafka_bootstrap, error=str(error))
        else:
            return


def check(settings: Settings, sources: Iterable[str]) -> None:
    """Before a worker starts: every topic is there, with the right partitions and an enforced lease.

    The embedded broker makes its topics here.
    """
    if settings.kafka_embedded:
        _touch(settings, sources)
        return
    steps = plan(settings, sources)
    unfenced = [name for name, config in steps.alter.items() if LEASE in config]
    if steps.create or unfenced:
        absent = [f"{topic.name} is missing" for topic in steps.create]
        lax = [f"{name} does not refuse what a zombie writes ({LEASE})" for name in unfenced]
        raise TopicsError(f"{'; '.join([*absent, *lax])}. Run: python -m streams topics apply")


def with_allowed_session(settings: Settings) -> Settings:
    """The settings, with a longer session if the brokers allow none so short."""
    if settings.kafka_embedded:
        return settings
    admin = _admin(settings)
    broker = next(iter(admin.list_topics(timeout=TIMEOUT_S).brokers))
    (described,) = admin.describe_configs([ConfigResource(ConfigResource.Type.BROKER, str(broker))]).values()
    least_ms = int(described.result(TIMEOUT_S)["group.min.session.timeout.ms"].value)
    if least_ms <= settings.stream_session_ms:
        return settings
    log.warning("brokers allow no shorter session: fail-over takes longer", session_ms=least_ms)
    return settings.model_copy(update={"stream_session_ms": least_ms})


def _refuse_other_partitions(topics: list[Topic], present: dict[str, int], settings: Settings) -> None:
    other = [f"{t.name} has {present[t.name]}" for t in topics if present.get(t.name, t.partitions) != t.partitions]
    if other:
        raise TopicsError(
            f"{'; '.join(other)}; all of them need {settings.partitions} partitions. Keys cannot move between "
            f"partitions. Either keep the old number (RAPPORT_PARTITIONS), or start a new generation: "
            f"RAPPORT_GENERATION={settings.generation + 1} python -m streams topics apply"
        )


def _wait_until_known(admin: AdminClient, created: set[str]) -> None:
    """A broker learns of a topic a moment after its controller made it."""
    deadline = time.monotonic() + TIMEOUT_S
    while created - admin.list_topics(timeout=TIMEOUT_S).topics.keys():
        if time.monotonic() > deadline:
            raise TopicsError(f"the cluster made topics that its brokers do not know after {TIMEOUT_S} s")
        time.sleep(0.05)


def _touch(settings: Settings, sources: Iterable[str]) -> None:
    """Asking for a topic makes it, on a broker that makes topics by itself."""
    if settings.partitions != EMBEDDED_PARTITIONS:
        raise TopicsError(f"the embedded broker has {EMBEDDED_PARTITIONS} partitions: set RAPPORT_PARTITIONS to that")
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    for topic in wanted(settings, sources):
        producer.list_topics(topic.name, timeout=TIMEOUT_S)


def _admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})


def _listed(config: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(config.items()))
