"""PgBouncer in transaction mode: every connection may be another one in the next transaction, and nothing notices."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.postgresql.base import DatabaseWrapper

from adminsite.checks import untimed_statements
from devservers.pgbouncer import PgBouncer
from featurestore.audit.consent_audit import run_audit
from featurestore.audit.models import AuditRun
from featurestore.consent.journal.comparison import database_identity
from featurestore.consent.models import PermissionChange
from featurestore.consent.vouching.lease import HeldLease
from featurestore.permission import Denial, PurposePermission
from featurestore.servers.database import django_database
from tests.kit.clock import clock
from tests.kit.databases import database
from tests.kit.shop import Shop, sent, shop
from tests.kit.stores import store

__all__ = ["clock", "database", "sent", "shop", "store"]
of_a_pooled_database = pytest.mark.parametrize("database", ["pgbouncer"], indirect=True)
CUSTOMERS = [f"customer-{n}" for n in range(6)]


def server_process() -> int:
    """PostgreSQL's process of this thread's next query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@of_a_pooled_database
def test_decisions_of_several_threads_are_numbered_one_after_the_other(shop: Shop) -> None:
    subjects: dict[str, str] = {}

    def decide(customer: str) -> None:
        try:
            subjects[customer] = shop.register(customer_id=customer).customer.subject
            shop.give(customer_id=customer)
            shop.withdraw(customer_id=customer, when=1)
            shop.give(customer_id=customer, when=2)
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(len(CUSTOMERS)) as threads:  # three times as many as PgBouncer has connections
        list(threads.map(decide, CUSTOMERS))
    sequences = sorted(PermissionChange.objects.values_list("sequence", flat=True))
    assert sequences == list(range(1, len(sequences) + 1))
    assert isinstance(shop.read(subjects[CUSTOMERS[0]]), PurposePermission)
    shop.withdraw(customer_id=CUSTOMERS[0], when=3)
    assert isinstance(shop.read(subjects[CUSTOMERS[0]]), Denial)
    run_audit()
    assert AuditRun.objects.get().found == 0


@of_a_pooled_database
def test_verifier_lease_is_of_one_holder_whatever_connection_renews_it(shop: Shop) -> None:
    leases = [HeldLease(shop.store.nodes, 2_000) for _ in range(2)]
    assert leases[0].hold()
    assert not leases[1].hold()
    leases[0].release()
    assert leases[1].hold()
    assert not leases[0].hold()
    assert database_identity().count("/") == 1, "system identifier and timeline"


@of_a_pooled_database
def test_rows_are_iterated_without_a_cursor_of_the_server(shop: Shop) -> None:
    for customer in CUSTOMERS:
        shop.register(customer_id=customer)
    rows = PermissionChange.objects.order_by("sequence").values_list("sequence", flat=True)
    expected, found = list(rows), []
    for sequence in rows.iterator(chunk_size=2):
        occupied = [threading.Thread(target=occupy) for _ in range(2)]
        for thread in occupied:
            thread.start()
        found.append(sequence)
        for thread in occupied:
            thread.join()
    assert found == expected


def occupy() -> None:
    """Take one of the pooler's connections, so that the next query of others gets another one."""
    try:
        with transaction.atomic():
            server_process()
    finally:
        connections["default"].close()


@of_a_pooled_database
def test_migrations_run_through_it(database: str) -> None:
    call_command("migrate", "accesslog", "zero", verbosity=0)
    call_command("migrate", "accesslog", verbosity=0)


@of_a_pooled_database
def test_check_warns_until_the_role_has_time_limits(database: str, postgres: str, pgbouncer: PgBouncer) -> None:
    (found,) = untimed_statements(databases=["default"])
    assert found.id == "rapport.W020"
    assert "ALTER ROLE" in str(found.hint)
    name = connection.settings_dict["NAME"]
    with psycopg.connect(postgres, autocommit=True) as server:
        for limit in ("statement_timeout = '15s'", "lock_timeout = '5s'"):
            server.execute(f"ALTER ROLE rapport IN DATABASE {name} SET {limit}")  # type: ignore[call-overload]
        server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # type: ignore[call-overload]
    connection.close()
    assert untimed_statements(databases=["default"]) == []


def test_the_pooler_refuses_the_options_of_a_session(pgbouncer: PgBouncer, django_db_blocker: Any) -> None:
    settings = {"default": django_database(pgbouncer.url_of("postgres"), pgbouncer=False)}
    direct = DatabaseWrapper(connections.configure_settings(settings)["default"], "default")
    with django_db_blocker.unblock(), pytest.raises(OperationalError, match="unsupported startup parameter"):
        direct.ensure_connection()
