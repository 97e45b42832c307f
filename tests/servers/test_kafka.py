"""A Kafka that takes SCRAM over TLS, and mutual TLS: every client library."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from devservers.certificates import Authority
from devservers.kafka.secure_broker import PASSWORD, USER, SecureBroker
from featurestore.servers.kafka import KafkaCluster
from featurestore.servers.tls import Tls
from streams.faust_options import credentials

TIMEOUT_S = 5
Reach = Callable[[KafkaCluster], int]


def by_librdkafka_admin(kafka: KafkaCluster) -> int:
    return len(AdminClient({**kafka.librdkafka(), "log_level": 0}).list_topics(timeout=TIMEOUT_S).brokers)


def by_librdkafka_producer(kafka: KafkaCluster) -> int:
    return len(Producer({**kafka.librdkafka(), "log_level": 0}).list_topics(timeout=TIMEOUT_S).brokers)


def by_librdkafka_consumer(kafka: KafkaCluster) -> int:
    consumer = Consumer({**kafka.librdkafka(), "group.id": "test", "log_level": 0})
    try:
        return len(consumer.list_topics(timeout=TIMEOUT_S).brokers)
    finally:
        consumer.close()


def by_aiokafka(kafka: KafkaCluster) -> int:
    return asyncio.run(brokers_of(lambda: aiokafka.AIOKafkaProducer(**kafka.aiokafka())))


def by_faust(kafka: KafkaCluster) -> int:
    """As Faust's driver makes its consumer."""
    options = {"bootstrap_servers": kafka.addresses, **credentials_to_aiokafka_auth(credentials(kafka))}
    return asyncio.run(brokers_of(lambda: aiokafka.AIOKafkaConsumer(**options)))


async def brokers_of(make: Callable[[], Any]) -> int:
    client = make()
    try:
        await client.start()
        metadata = client.client if isinstance(client, aiokafka.AIOKafkaProducer) else client._client
        await metadata.fetch_all_metadata()
        return len(metadata.cluster.brokers())
    finally:
        await client.stop()


CLIENTS: list[Reach] = [by_librdkafka_admin, by_librdkafka_producer, by_librdkafka_consumer, by_aiokafka, by_faust]
of_every_client = pytest.mark.parametrize("reach", CLIENTS)


@pytest.fixture
def forms(secure_kafka: SecureBroker) -> dict[str, KafkaCluster]:
    """The cluster by each secure form."""
    ca = str(secure_kafka.authority.file)
    client = secure_kafka.authority.identity("kafka-client")
    closed = secure_kafka.authority.identity("closed", password="a password")
    scram = KafkaCluster(secure_kafka.bootstrap, "sasl_ssl", Tls(ca), "SCRAM-SHA-512", USER, PASSWORD)
    mutual = KafkaCluster(secure_kafka.mutual_bootstrap, "ssl", Tls(ca, str(client.certificate), str(client.key)))
    return {
        "scram-512": scram,
        "scram-256": scram._replace(mechanism="SCRAM-SHA-256"),
        "mutual": mutual,
        "one file": mutual._replace(tls=Tls(ca, str(client.both))),
        "encrypted key": mutual._replace(tls=Tls(ca, str(closed.certificate), str(closed.key), "a password")),
    }


@of_every_client
@pytest.mark.parametrize("form", ["scram-512", "scram-256", "mutual", "one file", "encrypted key"])
def test_every_client_reaches_it_by_every_form(reach: Reach, form: str, forms: dict[str, KafkaCluster]) -> None:
    assert reach(forms[form]) == 1


@of_every_client
def test_no_client_trusts_another_authority_or_host(
    reach: Reach, forms: dict[str, KafkaCluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.servers.test_kafka.TIMEOUT_S", 1)
    other = Tls(str(Authority(tmp_path, "Another").file))
    elsewhere = forms["scram-512"].bootstrap.replace("127.0.0.1", "localhost")
    for wrong in (forms["scram-512"]._replace(tls=other), forms["scram-512"]._replace(bootstrap=elsewhere)):
        with pytest.raises((KafkaException, AioKafkaError, ssl.SSLError)):
            reach(wrong)


@of_every_client
def test_no_client_gets_in_without_its_secret(
    reach: Reach, forms: dict[str, KafkaCluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.servers.test_kafka.TIMEOUT_S", 1)
    for wrong in (
        forms["scram-512"]._replace(password="wrong"),
        forms["mutual"]._replace(tls=Tls(forms["mutual"].tls.ca_file)),
    ):
        with pytest.raises((KafkaException, AioKafkaError, ssl.SSLError)):
            reach(wrong)


def test_no_text_shows_the_password(forms: dict[str, KafkaCluster]) -> None:
    assert PASSWORD not in f"{forms['scram-512']} {forms['scram-512']!r}"
