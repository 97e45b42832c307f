"""An installation on secure servers, whose processes have the rights that docs/servers.md lists and no others."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Producer

from devservers.certificates import Authority
from devservers.installation import Installation, installation, variables_of
from devservers.kafka.secure_broker import SecureBroker
from devservers.secure_redis import SecureRedis
from devservers.waiting import eventually
from featurestore import names
from featurestore.servers.redis_clients import redis_client
from tests.servers.rights import database_statements, kafka_rules
from tests.servers.test_database import encrypted
from tests.system.shop import PARTITIONS, Shop

__all__ = ["encrypted"]
KAFKA_PASSWORD = "100%/p@ss:word of {}"
ENQUEUE = """
from featurestore.audit.tasks import audit_consent
from featurestore.ingest.tasks import import_dead_letters
audit_consent.delay()
import_dead_letters.delay()
"""
REQUEST = """
from featurestore.requests.actors import client
from featurestore.requests.services import Intake, receive
print(receive(Intake("erasure", "gdpr", "api", "ann", attested=True), client("tests")).request.reference)
"""


class Database(NamedTuple):
    """URLs of a new database without options: its owner's, and that of the role of the processes."""

    owner: str
    url: str


@pytest.fixture
def database(encrypted: str) -> Iterator[Database]:
    """A database with the page's roles, under names of this test."""
    name = f"secure_{uuid4().hex}"
    before, after = ([one.replace("rapport", name) for one in part] for part in database_statements())
    own = encrypted.replace("/postgres", f"/{name}")
    with psycopg.connect(encrypted, autocommit=True) as server:
        for statement in before:
            server.execute(statement)  # type: ignore[call-overload]
        with psycopg.connect(own, autocommit=True) as connected:
            for statement in after:
                connected.execute(statement)  # type: ignore[call-overload]
        yield Database(own.replace("rapport@", f"{name}_owner@"), own.replace("rapport@", f"{name}@"))
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
        for role in (name, f"{name}_owner"):
            server.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]


def login(user: str) -> dict[str, object]:
    """Settings of a user of Kafka."""
    return {"kafka_username": user, "kafka_password": KAFKA_PASSWORD.format(user)}


@pytest.mark.timeout(300)
def test_every_process_does_its_work_with_the_rights_that_the_page_lists(
    secure_kafka: SecureBroker,
    secure_store: SecureRedis,
    secure_control: SecureRedis,
    database: Database,
    authority: Authority,
    tmp_path: Path,
) -> None:
    with redis_client(secure_store.url) as operator:
        operator.flushall()  # a latch of another test
    rules = kafka_rules(tmp_path)
    users = {rule.principal.removeprefix("User:") for rule in rules}
    secure_kafka.create_users({user: KAFKA_PASSWORD.format(user) for user in users})
    secure_kafka.allow(rules)
    client = authority.identity("streams")
    verified = f"?sslmode=verify-full&sslrootcert={authority.file}"
    with installation(
        tmp_path,
        kafka=secure_kafka.bootstrap,
        kafka_security="sasl_ssl",
        kafka_ca_file=str(authority.file),
        store=secure_store.url_of("api"),
        database=database.url + verified,
        control_url=secure_control.url_of("api"),
        partitions=PARTITIONS,
        **login("api"),
    ) as made:
        mutual = {
            "kafka_bootstrap": secure_kafka.mutual_bootstrap, "kafka_security": "ssl", "kafka_username": "",
            "kafka_password": "", "kafka_certificate_file": client.certificate, "kafka_key_file": client.key,
        }  # fmt: skip
        of_operator = {
            "store_url": secure_store.url_of("operator"), "control_url": secure_control.url_of("operator"),
            **login("operator"),
        }  # fmt: skip
        of_celery = {
            "store_url": secure_store.url_of("celery"), "control_url": secure_control.url_of("celery"),
            **login("celery"),
        }  # fmt: skip
        with acting(made, **of_operator, database_url=database.owner + verified):
            made.prepare()
        with acting(made, **of_operator, journal_retention_days=91):
            made.manage("seed")
            made.run("-m", "streams", "topics", "apply")
        try:
            of_verifier = {"store_url": secure_store.url_of("verifier"), **login("verifier")}
            made.start("verifier", "manage.py", "verify_store", **of_verifier)
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
            journaled = "SELECT count(*) FROM consent_permissionchange WHERE journaled_at IS NULL"
            eventually(lambda: value(database, journaled) == 0, "every change is in the journal")
            shop.send("ann", b"no event")
            waiting = "SELECT count(*) FROM ingest_deadletter WHERE state = 'open'"
            with acting(made, control_url=secure_control.url_of("admin"), **login("admin")):
                eventually(lambda: enqueue(made) and value(database, waiting), "Celery imported the dead letter")
                made.manage("deadletters", "replay", "--all", "--by", "test")
            audited = "SELECT count(*) FROM audit_auditrun WHERE finished_at IS NOT NULL AND error = ''"
            eventually(lambda: value(database, audited) >= 1, "Celery audited the store")
            looked = "SELECT count(*) FROM retention_evictionrun WHERE finished_at IS NOT NULL AND error = ''"
            eventually(
                lambda: value(database, looked) >= 1, "Celery looked for idle subjects in the store", within_s=90
            )
            with acting(made, **of_operator):
                made.manage("take_over_denials")
                made.manage("locations", "prove", "bob")
                reference = made.manage("shell", "-c", REQUEST).stdout.strip().splitlines()[-1]
                made.manage("erasures", "start", reference, "--by", "test")
            answered = "SELECT count(*) FROM erasure_erasure WHERE state <> 'erasing'"
            eventually(lambda: value(database, answered) == 1, "Celery erased a customer everywhere", within_s=120)
        finally:  # also when something waits in vain: it says for what
            assert secure_store.denials() + secure_control.denials() == []
        generation = int(str(made.settings["generation"]))
        for user, topic in {
            "api": names.purge(generation),
            "admin": str(made.settings["journal_topic"]),
            "celery": names.events("orders", generation),
            "verifier": names.purge(generation),
            "streams": names.events("orders", generation),
        }.items():
            assert refusal(made, user, topic) == "TOPIC_AUTHORIZATION_FAILED", user
        with pytest.raises(AssertionError, match=r"Kafka: .*uthorization.* rights .* in docs/servers\.md"):
            made.run("-m", "streams", "topics", "apply")  # as the API's user
    with psycopg.connect(database.url, autocommit=True) as connection:
        for statement in ("TRUNCATE django_session", "DROP TABLE django_session", "CREATE TABLE own (id int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def enqueue(made: Installation) -> bool:
    """Enqueue an audit and an import of dead letters."""
    made.manage("shell", "-c", ENQUEUE)
    return True


@contextmanager
def acting(made: Installation, **settings: object) -> Iterator[None]:
    """Run the block's commands with these settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "environment", made.environment | variables_of(settings))
        yield


def refusal(made: Installation, user: str, topic: str) -> str:
    """The name of the error with which Kafka answers a user who writes to a topic; empty if it is written."""
    found: list[str] = []
    password = {"sasl.username": user, "sasl.password": KAFKA_PASSWORD.format(user)}
    producer = Producer({**made.kafka_options(), **password, "log_level": 0})
    producer.produce(topic, b"", partition=0, on_delivery=lambda error, _: found.append(error.name() if error else ""))
    producer.flush(60)
    return found[0]


def value(database: Database, query: str) -> int:
    with psycopg.connect(database.owner) as connection:
        found = connection.execute(query).fetchone()  # type: ignore[call-overload]
        return int(found[0])
