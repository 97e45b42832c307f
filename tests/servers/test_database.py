"""The database's URL: its options hold, and PostgreSQL verifies and is verified."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.utils import OperationalError
from pytest_django.plugin import DjangoDbBlocker

from devservers.certificates import Authority
from devservers.waiting import eventually
from featurestore.servers.database import django_database

SESSION = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('search_path')"
ENCRYPTED = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture
def query(django_db_blocker: DjangoDbBlocker) -> Iterator[Any]:
    """The first row of a query through Django, on the database at a URL."""
    made: list[DatabaseWrapper] = []

    def run(url: str, sql: str) -> tuple[Any, ...]:
        settings = connections.configure_settings({"default": django_database(url, pgbouncer=False)})["default"]
        made.append(DatabaseWrapper(settings, "default"))
        with made[-1].cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()

    with django_db_blocker.unblock():
        yield run
        for connection in made:
            connection.close()


@pytest.fixture(scope="module")
def encrypted(postgres: str, authority: Authority) -> Iterator[str]:
    """The URL of ``postgres`` while it offers TLS too, without options."""
    with psycopg.connect(postgres, autocommit=True) as server:
        found = server.execute("SHOW data_directory").fetchone()
        assert found
        folder, identity = Path(found[0]), authority.identity("postgres", "127.0.0.1")
        for name, source in (
            ("server.crt", identity.certificate), ("server.key", identity.key), ("root.crt", authority.file)
        ):  # fmt: skip
            shutil.copy(source, folder / name)
            os.chmod(folder / name, 0o600)
            shutil.chown(folder / name, folder.owner(), folder.group())
        server.execute("ALTER SYSTEM SET ssl_ca_file = 'root.crt'")
        server.execute("ALTER SYSTEM SET ssl = on")
        server.execute("SELECT pg_reload_conf()")
        eventually(lambda: connects(f"{postgres}?sslmode=require"), "it offers TLS")
        yield postgres
        server.execute("ALTER SYSTEM RESET ALL")
        server.execute("SELECT pg_reload_conf()")
        eventually(lambda: not connects(f"{postgres}?sslmode=require"), "it offers TLS no more")


def connects(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def test_every_option_of_the_url_holds() -> None:
    url = (
        "postgresql://u:p%40%2F@a:1,b:2/rapport?sslmode=verify-full&sslrootcert=/ca.pem&target_session_attrs=read-write"
    )
    made = django_database(f"{url}&connect_timeout=9&keepalives_idle=7", pgbouncer=False)
    assert (made["USER"], made["PASSWORD"], made["NAME"]) == ("u", "p@/", "rapport")
    assert (made["HOST"], made["PORT"]) == ("a,b", "1,2")
    options = made["OPTIONS"]
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", "/ca.pem")
    assert options["target_session_attrs"] == "read-write"
    assert (options["connect_timeout"], options["keepalives_idle"]) == ("9", "7"), "in place of the default"
    assert options["tcp_user_timeout"] == "8000", "the other defaults stay"


def test_options_of_sqlite_hold_beside_the_defaults() -> None:
    options = django_database("sqlite:////var/x.sqlite3?timeout=3", pgbouncer=False)["OPTIONS"]
    assert (options["timeout"], options["transaction_mode"]) == (3, "IMMEDIATE")


def test_options_of_the_session_are_added_to_the_defaults(postgres: str, query: Any) -> None:
    assert query(postgres, SESSION) == ("15s", "5s", '"$user", public')
    changed = f"{postgres}?options=-c%20statement_timeout%3D3000%20-c%20search_path%3Drapport"
    assert query(changed, SESSION) == ("3s", "5s", "rapport")


def test_a_server_is_found_among_several_hosts(postgres: str, query: Any) -> None:
    assert query(postgres.replace("@", "@127.0.0.1:1,"), "SELECT 1") == (1,)


def test_verify_full_does_not_fall_back_to_plaintext(postgres: str, query: Any, authority: Authority) -> None:
    assert not connects(f"{postgres}?sslmode=require"), "this server offers no TLS"
    with pytest.raises(OperationalError, match="server does not support SSL"):
        query(f"{postgres}?sslmode=verify-full&sslrootcert={authority.file}", "SELECT 1")


def test_verify_full_accepts_the_right_certificate_alone(
    encrypted: str, query: Any, authority: Authority, tmp_path: Path
) -> None:
    verified = f"{encrypted}?sslmode=verify-full&sslrootcert="
    assert query(f"{verified}{authority.file}", ENCRYPTED) == (True, None)
    with pytest.raises(OperationalError, match="certificate verify failed"):
        query(f"{verified}{Authority(tmp_path, 'Another').file}", "SELECT 1")
    with pytest.raises(OperationalError, match="does not match host name"):
        query(f"{verified}{authority.file}".replace("127.0.0.1", "localhost"), "SELECT 1")


def test_a_client_shows_its_certificate(encrypted: str, query: Any, authority: Authority) -> None:
    client = authority.identity("database-client")
    url = (
        f"{encrypted}?sslmode=verify-full&sslrootcert={authority.file}&sslcert={client.certificate}&sslkey={client.key}"
    )
    assert query(url, ENCRYPTED) == (True, "/CN=database-client")
