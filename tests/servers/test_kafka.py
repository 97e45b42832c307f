"""A Kafka that takes SCRAM over TLS, and mutual TLS: every client library, and every process of an installation."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiokafka
import psycopg
import pytest
from aiokafka.errors import KafkaError as AioKafkaError
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from devservers.certificates import Authority
from devservers.installation import installation
from devservers.kafka.secure_broker import PASSWORD, USER, SecureBroker
from devservers.secure_redis import SecureRedis
from devservers.waiting import eventually
from featurestore.servers.kafka import KafkaCluster
from featurestore.servers.redis_clients import redis_client
from featurestore.servers.tls import Tls
from streams.faust_options import credentials
from tests.servers.test_database import encrypted
from tests.system.shop import PARTITIONS, Shop

__all__ = ["encrypted"]
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


@pytest.fixture
def database(encrypted: str) -> Iterator[str]:
    """The URL of a new database, without options."""
    name = f"secure_{uuid4().hex}"
    with psycopg.connect(encrypted, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        yield encrypted.replace("/postgres", f"/{name}")
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


@pytest.mark.timeout(300)
def test_an_installation_on_secure_servers_serves_with_least_rights(
    secure_kafka: SecureBroker,
    secure_store: SecureRedis,
    secure_control: SecureRedis,
    database: str,
    authority: Authority,
    tmp_path: Path,
) -> None:
    with redis_client(secure_store.url) as operator:
        operator.flushall()  # a latch of another test
    client = authority.identity("streams")
    scram = {
        "kafka_security": "sasl_ssl", "kafka_username": USER, "kafka_password": PASSWORD,
        "kafka_ca_file": str(authority.file),
    }  # fmt: skip
    mutual = {
        "kafka_bootstrap": secure_kafka.mutual_bootstrap, "kafka_security": "ssl", "kafka_username": "",
        "kafka_password": "", "kafka_certificate_file": client.certificate, "kafka_key_file": client.key,
    }  # fmt: skip
    with installation(
        tmp_path,
        kafka=secure_kafka.bootstrap,
        store=secure_store.url_of("api"),
        database=f"{database}?sslmode=verify-full&sslrootcert={authority.file}",
        control_url=secure_control.url_of("api"),
        partitions=PARTITIONS,
        **scram,
    ) as made:
        made.prepare()
        try:
            of_celery = {"store_url": secure_store.url_of("celery"), "control_url": secure_control.url_of("celery")}
            made.start("verifier", "manage.py", "verify_store", store_url=secure_store.url_of("verifier"))
            made.start_worker(store_url=secure_store.url_of("streams"), **mutual)
            made.start("celery", "-m", "celery", "--app", "adminsite", "worker", "--pool", "solo", **of_celery)
            made.start(
                "beat", "-m", "celery", "--app", "adminsite", "beat", "--schedule", tmp_path / "beat", **of_celery
            )
            made.start_sse()
            shop = Shop(made)
            eventually(lambda: shop.api.get("/readyz").status_code == 200, "the API is ready")
            shop.give_consent("ann", "bob")
            shop.buy("ann")
            eventually(lambda: shop.spend("ann") == ("present", 10), "the streams folded the order")
            message = {"author": "customer", "conversation_id": "conversation-1"}
            event = {
                "source": "chat",
                "customer_id": "ann",
                "id": "1",
                "time": datetime.now(UTC).isoformat(),
                "data": message,
            }
            assert shop.api.post("/v1/events", json={"events": [event]}).status_code == 202
            assert shop.decide("bob", "withdrawn").status_code == 201
            assert shop.spend("bob")[0] == "withheld"
            assert shop.api.get("/metrics").status_code == 200
            recorded = "SELECT count(*) FROM accesslog_accessrecord"
            eventually(lambda: value(database, recorded) >= 2, "Celery wrote the access records into the database")
            purged = "SELECT count(*) FROM consent_permissionchange WHERE purge AND purge_sent_at IS NULL"
            eventually(lambda: value(database, purged) == 0, "Celery relayed the purge")
            audited = "SELECT count(*) FROM audit_auditrun WHERE finished_at IS NOT NULL AND error = ''"
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(made.environment, "RAPPORT_CONTROL_URL", secure_control.url_of("admin"))
                made.manage("shell", "-c", "from featurestore.audit.tasks import audit_consent; audit_consent.delay()")
            eventually(lambda: value(database, audited) >= 1, "Celery audited the store")
        finally:  # also when something waits in vain: it says for what
            assert secure_store.denials() + secure_control.denials() == []


def value(database: str, query: str) -> int:
    with psycopg.connect(database) as connection:
        found = connection.execute(query).fetchone()  # type: ignore[call-overload]
        return int(found[0])
