"""Topics as code: the topics that must exist, and the steps that bring the cluster's to that state.

    python -m streams topics plan       exit code 2 if there is something to do
    python -m streams topics apply      take the steps; those that only a person can take are printed

Every event topic, its changelog and the purge topic have the same number of partitions, because partition n of all of
them belongs to one worker. The consent journal and the topic of passed-by subjects have one partition and belong to no
generation.
"""

import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    OffsetSpec,
)

from featurestore import names, topic_retention
from featurestore.config import Settings
from featurestore.servers.kafka import kafka_cluster
from featurestore.topic_ids import topic_ids
from featurestore.topic_retention import milliseconds_of, segment_of_lag
from streams.changelog import LARGEST_BATCH_BYTES, LARGEST_REQUEST_BYTES
from streams.generation import settings_of_next
from streams.lease import longest_ms

TIMEOUT_S = 20
LEASE_SETTING = "message.timestamp.before.max.ms"
MIN_REPLICAS_SETTING = "min.insync.replicas"
EMBEDDED_PARTITIONS = 4  # librdkafka's broker creates topics by itself, always with so many


log = structlog.get_logger(__name__)


class TopicsError(RuntimeError):
    """The cluster's topics are not as required; the message states what to do."""


@dataclass(frozen=True)
class Topic:
    """A required topic. ``config`` holds only what differs from Kafka's defaults."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]


@dataclass
class Plan:
    """Steps for a cluster: topics to create, settings to change, settings to reset.

    ``replicate`` and ``unwanted`` are for a person: our Kafka client cannot move replicas, and topics that hold data
    are not deleted by a command that people run without looking.
    """

    create: list[Topic] = field(default_factory=list)
    alter: dict[str, dict[str, str]] = field(default_factory=dict)
    reset: dict[str, list[str]] = field(default_factory=dict)
    replicate: dict[str, list[list[int]]] = field(default_factory=dict)  # the brokers that each partition should have
    unwanted: list[str] = field(default_factory=list)

    @property
    def due(self) -> bool:
        """Whether the cluster is not as it should be. A topic too many does no harm."""
        return bool(self.create or self.alter or self.reset or self.replicate)

    def lines(self) -> list[str]:
        """The plan as text."""
        return [
            *(f"create {topic.name}: {topic.partitions} partitions, {_text(topic.config)}" for topic in self.create),
            *(f"change {name}: {_text(config)}" for name, config in self.alter.items()),
            *(f"reset {name}: {', '.join(keys)}" for name, keys in self.reset.items()),
            *self._by_hand(),
        ]

    def _by_hand(self) -> Iterator[str]:
        if self.replicate:
            yield (
                f"by hand: too few replicas of {', '.join(self.replicate)}. Write the next line to replicas.json, run "
                f"kafka-reassign-partitions.sh --bootstrap-server HOST:PORT --reassignment-json-file replicas.json "
                f"--execute, the same with --verify until it is complete, then: python -m streams topics apply"
            )
            assignments = [
                {"topic": name, "partition": partition, "replicas": brokers}
                for name, partitions in self.replicate.items()
                for partition, brokers in enumerate(partitions)
            ]
            yield json.dumps({"version": 1, "partitions": assignments})
        for name in self.unwanted:
            yield (
                f"by hand: {name} belongs to no source of the catalog; nothing reads it. If its data is not needed: "
                f"kafka-topics.sh --bootstrap-server HOST:PORT --delete --topic {name}"
            )


def required_topics(settings: Settings, sources: Iterable[str]) -> list[Topic]:
    """Every topic of this installation."""
    sources = list(sources)
    durable = {MIN_REPLICAS_SETTING: "2"} if settings.replication >= 3 else {}
    retention, lag = topic_retention.event_retention(settings), topic_retention.changelog_lag(settings)
    events = {
        "cleanup.policy": "delete",
        **_deleted_after(retention),
        "message.timestamp.type": "LogAppendTime",  # consent and lateness are judged by the broker's clock
        **durable,
    }
    changelog = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.ms": milliseconds_of(segment_of_lag(lag)),
        "max.compaction.lag.ms": milliseconds_of(lag - segment_of_lag(lag)),  # erased values leave the disk
        "delete.retention.ms": milliseconds_of(lag),
        "max.message.bytes": str(LARGEST_BATCH_BYTES),
        **durable,
    }
    if settings.stream_lease:
        changelog[LEASE_SETTING] = str(longest_ms(settings))
    by_name = {names.events(source, settings.generation): events for source in sources}
    by_name |= {names.changelog(source, settings.generation): changelog for source in sources}
    by_name[names.purge(settings.generation)] = events
    by_name[names.dead_letters(settings.generation)] = {**events, "max.message.bytes": str(LARGEST_REQUEST_BYTES)}
    by_name[names.clock(settings.generation)] = {**events, **_deleted_after(topic_retention.DAY)}
    topics = [Topic(name, settings.partitions, settings.replication, config) for name, config in by_name.items()]
    if settings.journal_topic:
        journal = {**events, **_deleted_after(topic_retention.journal_retention(settings))}
        topics.append(Topic(settings.journal_topic, 1, settings.replication, journal))
    if settings.passed_by_topic:
        passed_by = {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.1",
            # The store verifier reads all that is not compacted when it starts.
            "segment.ms": milliseconds_of(min(topic_retention.HOUR, segment_of_lag(lag))),
            "max.compaction.lag.ms": milliseconds_of(lag - segment_of_lag(lag)),
            "delete.retention.ms": milliseconds_of(min(topic_retention.HOUR, lag)),
            "message.timestamp.type": "LogAppendTime",  # what an entry covers is judged by the broker's clock
            **durable,
        }
        topics.append(Topic(settings.passed_by_topic, 1, settings.replication, passed_by))
    return topics


def _deleted_after(retention: timedelta) -> dict[str, str]:
    segment = topic_retention.segment_of(retention)
    return {"retention.ms": milliseconds_of(retention), "segment.ms": milliseconds_of(segment)}


def plan(settings: Settings, sources: Iterable[str]) -> Plan:
    """Steps from the cluster's present topics to the required ones. Raises TopicsError for what no step can mend."""
    admin = _admin(settings)
    cluster = admin.list_topics(timeout=TIMEOUT_S)
    brokers = sorted(cluster.brokers)
    present = {
        name: [list(topic.partitions[number].replicas) for number in sorted(topic.partitions)]
        for name, topic in cluster.topics.items()
    }
    topics = required_topics(settings, sources)
    _refuse_other_partitions(topics, {name: len(partitions) for name, partitions in present.items()}, settings)
    existing = {topic.name: topic for topic in topics if topic.name in present}
    result = Plan(
        create=[topic for topic in topics if topic.name not in present],
        replicate={
            name: [
                spread(replicas, brokers, number, topic.replication) for number, replicas in enumerate(present[name])
            ]
            for name, topic in existing.items()
            if min(len(replicas) for replicas in present[name]) < topic.replication
        },
        unwanted=sorted(name for name in present if _ours(name, settings.generation) and name not in existing),
    )
    if result.create:
        _refuse_too_few_brokers(brokers, settings)
        _refuse_deleted(admin, [topic.name for topic in result.create], present.keys(), settings)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in existing]
    for resource, future in (admin.describe_configs(resources) if resources else {}).items():
        actual, expected = future.result(TIMEOUT_S), dict(existing[resource.name].config)
        if resource.name in result.replicate:
            expected.pop(MIN_REPLICAS_SETTING, None)  # nothing could be written with too few replicas
        if differing := {key: value for key, value in expected.items() if actual[key].value != value}:
            result.alter[resource.name] = differing
        if drifted := [key for key, entry in sorted(actual.items()) if _set_by_others(entry, expected)]:
            result.reset[resource.name] = drifted
    return result


def spread(replicas: Sequence[int], brokers: Sequence[int], partition: int, number: int) -> list[int]:
    """``replicas`` and other brokers up to ``number``. Each partition begins with another of the others."""
    others = [broker for broker in brokers if broker not in replicas]
    shift = partition % len(others) if others else 0
    return [*replicas, *others[shift:], *others[:shift]][: max(number, len(replicas))]


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
    entries: defaultdict[str, list[ConfigEntry]] = defaultdict(list)
    for name, config in steps.alter.items():
        entries[name] += (ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in config.items())
    for name, keys in steps.reset.items():
        entries[name] += (ConfigEntry(k, None, incremental_operation=AlterConfigOpType.DELETE) for k in keys)
    changed = [
        ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=of_topic)
        for name, of_topic in entries.items()
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
    """Check, before a worker starts, that every topic exists, with the right partitions and an enforced lease.

    On the embedded broker create them. Raises TopicsError.
    """
    if settings.kafka_embedded:
        _create_on_embedded(settings, sources)
        return
    steps = plan(settings, sources)
    unfenced = [name for name, config in steps.alter.items() if LEASE_SETTING in config]
    if steps.create or unfenced:
        missing = [f"{topic.name} is missing" for topic in steps.create]
        unfenced_topics = [f"{name} does not refuse a zombie's writes ({LEASE_SETTING})" for name in unfenced]
        raise TopicsError(f"{'; '.join([*missing, *unfenced_topics])}. Run: python -m streams topics apply")


def describe(settings: Settings, wanted: Collection[str]) -> dict[str, str]:
    """The ids of the topics that exist, by name, with one call; "" on brokers that have none. Raises KafkaException."""
    if settings.kafka_embedded:
        return dict.fromkeys(wanted, "")
    return topic_ids(_admin(settings), wanted, TIMEOUT_S)


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
    other = [
        f"{t.name} has {present[t.name]}"
        for t in topics
        if t.name not in (settings.journal_topic, settings.passed_by_topic)
        and present.get(t.name, t.partitions) != t.partitions
    ]
    if other:
        raise TopicsError(
            f"{'; '.join(other)}; all of them need {settings.partitions} partitions. Keys cannot move between "
            f"partitions. Either keep the old number (RAPPORT_PARTITIONS), or start a new generation: "
            f"{settings_of_next(settings.generation)} python -m streams topics apply"
        )


def _refuse_too_few_brokers(brokers: list[int], settings: Settings) -> None:
    if len(brokers) < settings.replication:
        raise TopicsError(
            f"RAPPORT_REPLICATION is {settings.replication}, and the cluster has {len(brokers)} "
            f"broker{'s' if len(brokers) > 1 else ''}. Start more brokers, or set RAPPORT_REPLICATION={len(brokers)}"
        )


def _refuse_deleted(admin: AdminClient, missing: Iterable[str], present: Collection[str], settings: Settings) -> None:
    """Refuse to make an event topic anew whose changelog holds state: its events would be taken for applied ones."""
    changelogs = {
        name: names.changelog(source, settings.generation) for name in missing if (source := names.source_of(name))
    }
    found = {name: changelog for name, changelog in changelogs.items() if changelog in present}
    asked = {TopicPartition(log, n): OffsetSpec.latest() for log in found.values() for n in range(settings.partitions)}
    ends = admin.list_offsets(asked) if asked else {}
    used = {at.topic for at, future in ends.items() if future.result(TIMEOUT_S).offset > 0}
    if deleted := sorted(name for name, changelog in found.items() if changelog in used):
        raise TopicsError(
            f"{', '.join(deleted)} was deleted, though its changelog holds state. Made anew it would begin at offset "
            f"0, and its events would be taken for ones that the state holds. Start a new generation, which begins "
            f"empty: {settings_of_next(settings.generation)} python -m streams topics apply"
        )


def _ours(name: str, generation: int) -> bool:
    return name.startswith(names.PREFIXES) and name.endswith(f".g{generation}")


def _set_by_others(entry: ConfigEntry, expected: Mapping[str, str]) -> bool:
    """Whether another tool changed a setting. Kafka's own tools set two, to throttle the move of a replica."""
    return (
        entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        and entry.name not in expected
        and not entry.name.endswith("replication.throttled.replicas")
    )


def _wait_until_known(admin: AdminClient, created: set[str]) -> None:
    """Wait until the brokers know the topics, which is a moment after the controller has created them."""
    deadline = time.monotonic() + TIMEOUT_S
    while created - admin.list_topics(timeout=TIMEOUT_S).topics.keys():
        if time.monotonic() > deadline:
            raise TopicsError(f"the cluster created topics that its brokers do not know after {TIMEOUT_S} s")
        time.sleep(0.05)


def _create_on_embedded(settings: Settings, sources: Iterable[str]) -> None:
    """Ask for each topic: the embedded broker creates what it is asked for."""
    if settings.partitions != EMBEDDED_PARTITIONS:
        raise TopicsError(f"the embedded broker has {EMBEDDED_PARTITIONS} partitions: set RAPPORT_PARTITIONS to that")
    producer = Producer({**kafka_cluster(settings).librdkafka(), "log_level": 0})
    for topic in required_topics(settings, sources):
        producer.list_topics(topic.name, timeout=TIMEOUT_S)


def _admin(settings: Settings) -> AdminClient:
    return AdminClient({**kafka_cluster(settings).librdkafka(), "log_level": 0})


def _text(config: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(config.items()))
