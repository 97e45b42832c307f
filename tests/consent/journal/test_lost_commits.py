"""PostgreSQL that loses commits: a real base backup that is restored, a real standby that lags and is promoted.

Nothing is readable after an acknowledged withdrawal until the operator has decided. Then every acknowledged denial
holds.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from devservers.installation import migrated_postgres
from devservers.postgres_server import PostgresServer, programs
from devservers.waiting import eventually
from featurestore.audit.consent_audit import run_audit
from featurestore.consent.models import ChangeSequence
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.customers.selectors import subject_of_customer
from featurestore.permission import Denial, PurposePermission
from featurestore.store.memory import MemoryStore
from tests.consent.journal.servers import LossyInstallation, clean_up
from tests.kit.clock import Clock, at
from tests.kit.databases import fill, use
from tests.kit.shop import SentPurges, Shop


@pytest.fixture
def database(django_db_blocker: DjangoDbBlocker) -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, migrated and with the shop's purposes."""
    if not programs():
        pytest.skip("PostgreSQL's server programs are not installed")
    before, kept = connections.settings["default"], connections["default"]
    server = PostgresServer()
    with django_db_blocker.unblock(), ExitStack() as cleaning:
        clean_up(server, cleaning)
        server.start()
        server.restore("postgres", migrated_postgres(server))
        fill(server.url, purposes=True)
        use(server.url)
        yield server
        connections["default"].close()
        connections.settings["default"], connections["default"] = before, kept


@pytest.fixture
def env(
    database: PostgresServer, kafka: str, store: MemoryStore, sent: SentPurges, clock: Clock
) -> Iterator[LossyInstallation]:
    """An installation that is vouched for, with one customer who consented and one who did not object."""
    with ExitStack() as cleaning:
        made = LossyInstallation(database, Shop(store, sent), clock, kafka, cleaning)
        made.shop.register()
        made.shop.give(when=1)
        made.shop.register("bob")
        made.until(VerifierState.VOUCHING)
        assert isinstance(made.shop.read(ann()), PurposePermission)
        yield made
        connections["default"].close()


def ann(customer_id: str = "ann") -> str:
    """The subject of a customer."""
    return subject_of_customer(customer_id)


def test_standby_promoted_without_the_last_commit(env: LossyInstallation) -> None:
    standby = env.added(env.server.standby())
    standby.start()
    standby.cut_off()
    withdrawal = env.shop.withdraw(when=60)
    assert withdrawal.effective
    env.lose(standby, standby.promote)
    assert env.step() is VerifierState.LATCHED
    assert not isinstance(env.shop.read(ann()), PurposePermission)
    audit = run_audit(at(100))
    assert audit is None or audit.repaired == 0
    for _ in range(5):
        assert env.step() is VerifierState.LATCHED
    assert env.shop.read(ann()) is Denial.UNVOUCHED

    assert [denial.purpose for _, _, denial in env.take_over().denials] == ["service"]
    env.until(VerifierState.VOUCHING)
    assert env.shop.read(ann(), when=6000) is Denial.REFUSED
    assert isinstance(env.shop.read(ann("bob"), "analytics", when=6000), PurposePermission)


def test_standby_promoted_without_a_commit_that_nobody_but_the_journal_saw(env: LossyInstallation) -> None:
    standby = env.added(env.server.standby())
    standby.start()
    standby.cut_off()
    env.store.available = False
    assert not env.shop.withdraw(when=60).effective, "answered 202"
    env.comparer.step()  # appended to the journal
    env.lose(standby, standby.promote)
    env.store.available = True
    env.store.restart(emptied=True)
    env.start_verifier()
    env.until_latched()
    assert len(env.take_over().denials) == 1
    env.until(VerifierState.VOUCHING)
    assert env.shop.read(ann(), when=6000) is Denial.REFUSED


def test_standby_promoted_with_every_commit_is_vouched_for(env: LossyInstallation) -> None:
    standby = env.added(env.server.standby())
    standby.start()
    env.shop.withdraw(when=60)
    env.step()
    sequence = ChangeSequence.objects.get().sequence
    caught_up = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"
    eventually(lambda: env.server.execute(caught_up) == 1, "the standby has everything")
    env.lose(standby, standby.promote)
    assert ChangeSequence.objects.get().sequence == sequence
    env.until(VerifierState.VOUCHING)
    assert env.shop.read(ann()) is Denial.REFUSED


def test_backup_restored_while_decisions_go_on(env: LossyInstallation) -> None:
    backup = env.added(env.server.base_backup())
    assert env.shop.withdraw(when=60).effective
    lost = env.shop.register("cem", when=61).customer.subject
    env.shop.withdraw("analytics", customer_id="cem", when=62)
    env.step()
    env.lose(backup, backup.start)
    env.shop.register("dan", when=70)  # before the verifier has looked
    before = env.shop.stored(ann("dan"))
    assert env.step() is VerifierState.LATCHED
    for n in range(6):  # the numbers meet, and pass
        env.shop.register(f"new{n}", when=80 + n)
        assert env.step() is VerifierState.LATCHED
        assert env.shop.read(ann()) is Denial.UNVOUCHED
    env.start_verifier()
    env.until_latched()

    plan = env.take_over()
    assert {(c.subject, d.purpose) for c, _, d in plan.denials} == {(ann(), "service")}
    assert {(subject, d.purpose) for subject, d in plan.kept} == {(lost, "analytics")}
    assert {row.customer.customer_id for row in plan.renewed} == {"dan", *(f"new{n}" for n in range(6))}
    env.until(VerifierState.VOUCHING)
    assert env.shop.read(ann(), when=6000) is Denial.REFUSED
    assert not isinstance(env.shop.read(lost, "analytics", when=6000), PurposePermission)
    dan = env.shop.stored(ann("dan"))
    assert dan is not None
    assert before is None or dan.purposes["fraud"].grant_id > before.purposes["fraud"].grant_id + 1000


def test_numbers_that_met_while_no_verifier_ran(env: LossyInstallation) -> None:
    backup = env.added(env.server.base_backup())
    env.shop.withdraw(when=60)
    env.step()
    env.lose(backup, backup.start)
    for n in range(4):
        env.shop.register(f"new{n}", when=80 + n)
    env.start_verifier()
    env.until_latched()
    env.take_over()
    env.until(VerifierState.VOUCHING)
    assert env.shop.read(ann(), when=6000) is Denial.REFUSED


def test_backup_restored_beside_an_empty_store(env: LossyInstallation) -> None:
    backup = env.added(env.server.base_backup())
    env.shop.withdraw(when=60)
    env.step()
    env.lose(backup, backup.start)
    env.store.restart(emptied=True)
    env.start_verifier()
    env.until_latched()
    for _ in range(8):
        assert env.step() is VerifierState.LATCHED
    env.take_over()
    env.until(VerifierState.VOUCHING)
    assert env.shop.read(ann(), when=6000) is Denial.REFUSED


def test_customer_of_after_the_backup_registers_again(env: LossyInstallation) -> None:
    backup = env.added(env.server.base_backup())
    cem = env.shop.register("cem", when=60).customer.subject
    env.shop.withdraw("analytics", customer_id="cem", when=61)
    env.step()
    env.lose(backup, backup.start)
    assert env.step() is VerifierState.LATCHED
    env.take_over()
    env.until(VerifierState.VOUCHING)
    assert not isinstance(env.shop.read(cem, "analytics", when=6000), PurposePermission)
    assert env.shop.register("cem", when=7000).created
    assert env.shop.read(cem, "analytics", when=8000) is Denial.REFUSED
    assert isinstance(env.shop.read(cem, "fraud", when=8000), PurposePermission)
