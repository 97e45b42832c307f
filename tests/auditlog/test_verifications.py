"""Verifications that are kept: each day, when staff ask, with what they found."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection

from featurestore.auditlog import export
from featurestore.auditlog.entries import read_content
from featurestore.auditlog.log_verifier import Verification
from featurestore.auditlog.models import EntryContent, Leaf, LogVerification, WaitingEntry
from featurestore.auditlog.services import erase_contents, prune, request_verification, verify_due
from featurestore.auditlog.services.verification import LEASE_S
from featurestore.jobs.job_leases import HeldJobLease, hold_job_lease
from tests.auditlog.conftest import write_signed
from tests.kit.clock import at

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
DAY = timedelta(days=1)


def test_verification_that_finds_nothing_says_what_was_verified(database: str) -> None:
    write_signed(3, 6)
    run = verify_due(at(0))
    assert run is not None
    assert (run.entries, run.heads, run.found, run.findings, run.error) == (6, 2, 0, "", "")
    assert run.root == bytes(Leaf.objects.get(pk=5).root).hex()
    assert LogVerification.objects.get() == run


def test_log_is_verified_once_a_day_and_whenever_staff_ask(database: str) -> None:
    write_signed(3)
    assert verify_due(at(0))
    assert verify_due(at(0) + DAY - timedelta(seconds=1)) is None
    asked = request_verification("olivia", at(5))
    assert request_verification("petra", at(6)) == asked, "it waits"
    entry = read_content(WaitingEntry.objects.get().content)
    assert (entry["type"], entry["actor"]) == ("audit_log.verified", "olivia")
    assert verify_due(at(7)) == asked
    assert LogVerification.objects.get(pk=asked.pk).finished_at == at(7)
    assert verify_due(at(8)) is None
    assert verify_due(at(5) + DAY)


def test_one_verification_runs_at_a_time_and_one_that_died_is_carried_out_again(database: str) -> None:
    left = LogVerification.objects.create(started_at=at(0))
    with hold_job_lease("auditlog.verify", LEASE_S, at(0)):
        assert verify_due(at(1)) is None
    assert verify_due(at(2)) == left
    assert LogVerification.objects.count() == 1


def test_what_does_not_hold_is_named(database: str) -> None:
    write_signed(4)
    with connection.cursor() as cursor:
        on = " ON auditlog_entrycontent" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER auditlog_entrycontent_rows{on}")
    EntryContent.objects.filter(pk=2).update(type="something.else")
    EntryContent.objects.filter(pk=3).update(content="{}")
    run = verify_due(at(0))
    assert run is not None
    assert run.found == 2
    assert [one.partition(":")[0] for one in run.findings.splitlines()] == ["entry 2", "entry 3"]


def test_verification_that_the_database_ended_says_so(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(export, "verify", fail)
    run = verify_due(at(0))
    assert run is not None
    assert run.error == "The database failed: DatabaseError. Start it again."
    assert run.finished_at


def test_others_append_and_erase_while_the_log_is_verified(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 3)
    write_signed(4, 9)
    told = list[int]()

    def progress(entries: int) -> None:
        told.append(entries)
        if len(told) == 1:
            erase_contents([1, 8])
            write_signed(15, hour=9)
        elif len(told) == 2:
            erase_contents([5, 12])

    verification = Verification()
    assert export.verify(verification, progress) == []
    assert told == list(range(3, verification.entries + 1, 3))
    assert (verification.entries, verification.heads) == (Leaf.objects.count(), 2)
    assert verification.erased > 0


def test_page_of_a_verification_says_how_far_it_is(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    write_signed(5)
    seen = list[int]()
    renew = HeldJobLease.renew

    def renewed(lease: HeldJobLease) -> bool:
        seen.append(LogVerification.objects.get().entries)
        return renew(lease)

    monkeypatch.setattr(HeldJobLease, "renew", renewed)
    run = verify_due(at(0))
    assert run is not None
    assert (seen, run.entries) == ([0, 2, 4], 6)


def test_old_verifications_are_deleted(database: str) -> None:
    verify_due(at(0))
    assert prune(at(0) + timedelta(days=730)) == 0
    assert prune(at(0) + timedelta(days=730, seconds=1)) == 1
