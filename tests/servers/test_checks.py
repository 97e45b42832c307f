"""What is refused at start: servers that some client could not be told of, and plaintext over a network."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adminsite.checks import unverified_database
from devservers.certificates import LIFETIME, Authority
from featurestore.config import ROOT, Settings
from featurestore.servers.checks import redis_and_kafka_problems
from featurestore.servers.database import database_problems
from featurestore.servers.expiry import expiring_certificates
from featurestore.servers.problems import is_local

PASSWORD = "s3cret"
LOCAL = {
    "database_url": "postgresql:///rapport",
    "store_url": "redis://127.0.0.1/0",
    "control_url": "unix:///run/redis.sock?db=1",
    "kafka_bootstrap": "localhost:9092,[::1]:9092",
}


def problems(**changed: object) -> list[str]:
    conf = Settings.model_validate({"environment": "development", **LOCAL, **changed})
    found = list(map(str, [*database_problems(conf), *redis_and_kafka_problems(conf)]))
    assert PASSWORD not in "".join(found), "no message shows a password"
    return found


def test_local_servers_need_no_encryption() -> None:
    assert problems(environment="production") == []


@pytest.mark.parametrize(
    ("changed", "server"),
    [
        ({"database_url": f"postgresql://u:{PASSWORD}@db/rapport"}, "database"),
        ({"database_url": "postgresql://u@db/rapport?sslmode=prefer"}, "database"),
        ({"database_url": "postgresql://u@127.0.0.1,db/rapport"}, "database"),
        ({"database_url": "postgresql:///rapport?host=db"}, "database"),
        ({"store_url": f"redis://:{PASSWORD}@store/0"}, "store"),
        ({"store_url": "redis+cluster://127.0.0.1,10.0.0.2/"}, "store"),
        ({"control_url": "redis+sentinel://sentinel/rapport"}, "control"),
        ({"kafka_bootstrap": "127.0.0.1:9092,kafka:9092"}, "kafka"),
    ],
)
def test_production_refuses_plaintext_over_a_network(changed: dict[str, object], server: str) -> None:
    (found,) = problems(environment="production", **changed)
    assert found.startswith(f"rapport.E021: RAPPORT_{server.upper()}_")
    assert f'RAPPORT_PLAINTEXT_SERVERS: ["{server}"]' in found
    assert problems(environment="production", **changed, plaintext_servers=[server]) == []
    assert problems(**changed) == [], "elsewhere it is allowed"


@pytest.mark.parametrize(
    "changed",
    [
        {"database_url": "postgresql://u@db/rapport?sslmode=verify-full&sslrootcert=system"},
        {"store_url": "rediss://store/0", "control_url": "rediss+sentinel://sentinel/rapport"},
        {"kafka_bootstrap": "kafka:9093", "kafka_security": "ssl"},
        {"kafka_security": "sasl_ssl", "kafka_username": "rapport", "kafka_password": PASSWORD},
    ],
)
def test_encrypted_servers_pass(changed: dict[str, object]) -> None:
    assert problems(environment="production", **changed) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"store_url": f"redis://:{PASSWORD}/@store/0"}, "RAPPORT_STORE_URL has an address that is no host:port"),
        ({"control_url": "redis+cluster://a/"}, "RAPPORT_CONTROL_URL names a cluster, which Celery can't use"),
        ({"store_url": "rediss://store?ssl_ca_certs=/nowhere.pem"}, "/nowhere.pem can't be read: No such file"),
        ({"store_url": f"rediss://store?ssl_ca_certs={__file__}"}, "are not what OpenSSL takes"),
        ({"database_url": "mysql://u@db/rapport"}, "RAPPORT_DATABASE_URL begins with mysql:. Use postgresql://"),
        ({"database_url": "postgresql://u@db/x?sslmod=require"}, 'invalid URI query parameter: "sslmod"'),
        ({"database_url": f"postgresql://u:{PASSWORD}%@db/x"}, "is refused by PostgreSQL's client"),
        ({"database_url": "postgresql://u@db"}, "names no database"),
        ({"database_url": "postgresql://u@db/x?sslrootcert=/nowhere.pem"}, "sslrootcert=/nowhere.pem is no file"),
        ({"database_url": "postgresql:///x?options=-c%20a.b%3D1", "database_pgbouncer": True}, "PgBouncer"),
        ({"kafka_bootstrap": "SASL_SSL://kafka:9093"}, "RAPPORT_KAFKA_BOOTSTRAP is not host:port"),
        ({"kafka_bootstrap": "kafka"}, "RAPPORT_KAFKA_BOOTSTRAP is not host:port"),
        ({"kafka_username": "rapport", "kafka_password": PASSWORD}, "RAPPORT_KAFKA_SECURITY is plaintext"),
        ({"kafka_ca_file": "/ca.pem"}, "files would be ignored"),
        ({"kafka_security": "ssl", "kafka_username": "rapport"}, "RAPPORT_KAFKA_SECURITY is ssl"),
        ({"kafka_security": "sasl_ssl", "kafka_username": "rapport"}, "needs RAPPORT_KAFKA_USERNAME and"),
        ({"kafka_security": "ssl", "kafka_ca_file": "/nowhere.pem"}, "/nowhere.pem can't be read"),
    ],
)
def test_what_a_client_would_ignore_or_refuse_is_refused(changed: dict[str, object], message: str) -> None:
    (found,) = problems(**changed)
    assert found.startswith("rapport.E020: ")
    assert message in found


@pytest.mark.parametrize(("mode", "warned"), [("require", 1), ("verify-ca", 1), ("verify-full", 0), ("disable", 0)])
def test_encryption_without_verification_is_a_warning(mode: str, warned: int, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = Settings.model_validate({**LOCAL, "database_url": f"postgresql://u@db/rapport?sslmode={mode}"})
    monkeypatch.setattr("adminsite.checks.settings", lambda: conf)
    assert [found.id for found in unverified_database()] == ["rapport.W021"] * warned


def test_certificate_is_a_warning_thirty_days_before_its_end(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    client = authority.identity("client")
    conf = Settings.model_validate(
        LOCAL
        | {
            "store_url": f"rediss://store?ssl_ca_certs={authority.file}",
            "database_url": f"postgresql://u@db/x?sslmode=verify-full&sslrootcert=system&sslcert={client.certificate}",
            "kafka_security": "ssl",
            "kafka_certificate_file": str(client.both),
        }
    )
    end = datetime.now(UTC) + LIFETIME
    assert expiring_certificates(conf, end - timedelta(days=31)) == []
    found = expiring_certificates(conf, end - timedelta(days=29))
    assert [text.partition(":")[0] for text in found] == sorted(
        map(str, (authority.file, client.both, client.certificate))
    )
    assert f"{client.both}: the certificate of CN=client expires at {end:%Y-%m-%d}" in "".join(found)


def test_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    client = Authority(tmp_path).identity("client", password=PASSWORD)
    named = {"kafka_security": "ssl", "kafka_certificate_file": str(client.certificate)}
    named |= {"kafka_key_file": str(client.key)}
    assert "are not what OpenSSL takes" in problems(**named)[0], "OpenSSL asks no terminal for it"
    assert problems(**named, kafka_key_password=PASSWORD) == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "", "/var/run/postgresql"])
def test_loopback_and_sockets_are_local(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize("host", ["10.0.0.1", "kafka", "localhost.example.org", "0.0.0.0", "::", "fe80::1"])
def test_every_other_host_is_not_local(host: str) -> None:
    assert not is_local(host)


@pytest.mark.parametrize(
    "command", [["manage.py", "check"], ["-m", "streams", "worker"], ["-m", "celery", "--app", "adminsite", "worker"]]
)
def test_no_process_starts_with_a_misnamed_server(command: list[str]) -> None:
    environment = {**os.environ, "RAPPORT_STORE_URL": f"redis://:{PASSWORD}@store/one"}
    environment["DJANGO_SETTINGS_MODULE"] = "adminsite.settings"
    run = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert "rapport.E020: RAPPORT_STORE_URL has a database that is no number" in run.stderr
    assert PASSWORD not in run.stderr
    assert "Traceback" not in run.stderr


def test_no_stream_worker_reaches_a_store_by_plaintext_in_production() -> None:
    environment = {**os.environ, "RAPPORT_ENVIRONMENT": "production", "RAPPORT_STORE_URL": "redis://store/0"}
    command = [sys.executable, "-m", "streams", "worker"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.startswith("rapport.E021: RAPPORT_STORE_URL")
