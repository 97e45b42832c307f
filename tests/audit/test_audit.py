"""The audit: whatever came between store and database is found, repaired and kept; nothing else is."""

from typing import NamedTuple

import pytest

from featurestore.audit import consent_audit as auditing
from featurestore.audit import selectors, services
from featurestore.audit.consent_audit import run_audit
from featurestore.audit.errors import FindingNotOpen, MissingReason
from featurestore.audit.models import AuditRun, Finding
from featurestore.consent.models import CurrentPermission, PermissionChange, Purpose
from featurestore.consent.outbox.publication import permissions_of
from featurestore.consent.outbox.relay import relay_due
from featurestore.jobs.leases import hold_lease
from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.profiles.services import Registration, register_many
from tests.kit.clock import at
from tests.kit.shop import Shop
from tests.kit.stores import vouch_for_database


class Ann(NamedTuple):
    shop: Shop
    subject: str

    def tamper(self, permission: Permission) -> None:
        self.shop.store._permissions[self.subject] = permission

    def right(self) -> Permission:
        return permissions_of([self.subject])[self.subject]


@pytest.fixture
def ann(shop: Shop) -> Ann:
    """Registered, with the service allowed."""
    subject = shop.register().customer.subject
    shop.give()
    return Ann(shop, subject)


def run(when: float = 100) -> AuditRun:
    done = run_audit(at(when))
    assert done is not None
    return done


def kinds() -> list[tuple[str, str, str]]:
    return list(Finding.objects.order_by("pk").values_list("kind", "purpose", "state"))


def test_where_all_is_well_nothing_is_found(ann: Ann) -> None:
    done = run()
    assert (done.subjects, done.store_subjects, done.found, done.error) == (1, 1, 0, "")
    assert done.finished_at == at(100)
    assert selectors.last_audit() == done


def test_a_store_that_allows_what_was_withdrawn_is_put_right(ann: Ann) -> None:
    before = ann.right()
    ann.shop.withdraw(when=5)
    ann.tamper(before)
    assert isinstance(ann.shop.read(ann.subject), PurposePermission)
    done = run()
    assert (done.found, done.repaired) == (1, 1)
    assert kinds() == [("allows_more", "service", "repaired")]
    assert ann.shop.read(ann.subject) is Denial.REFUSED


def test_a_row_changed_behind_the_services_back_is_put_right_too(ann: Ann) -> None:
    CurrentPermission.objects.filter(purpose__name="service").update(allowed=False)
    run()
    assert kinds() == [("allows_more", "service", "repaired")]
    assert ann.shop.read(ann.subject) is Denial.REFUSED


def test_a_permission_that_was_lost_is_put_again(ann: Ann) -> None:
    del ann.shop.store._permissions[ann.subject]
    run()
    assert kinds() == [("missing_in_store", "", "repaired")]
    assert isinstance(ann.shop.read(ann.subject), PurposePermission)


def test_a_store_that_denies_too_much_is_put_right(ann: Ann) -> None:
    right = ann.right()
    ann.tamper(Permission(right.epoch, right.sequence, {}))
    run()
    assert {kind for kind, _, _ in kinds()} == {"denies_more"}
    assert ann.shop.stored(ann.subject) == right


def test_a_version_that_the_database_never_issued_is_overtaken(ann: Ann) -> None:
    right = ann.right()
    ann.tamper(Permission(right.epoch, right.sequence + 500, right.purposes))
    assert run().repaired == 0  # the change sequence itself is behind: a restored database, which raise_epoch is for
    ann.tamper(Permission(right.epoch, right.sequence + 2, right.purposes))
    for n in range(3):
        ann.shop.register(f"other{n}")
    assert run(200).repaired == 1
    assert ann.shop.stored(ann.subject) == ann.right()


def test_a_subject_that_the_database_does_not_know_is_denied_for_good(ann: Ann) -> None:
    ghost = "f" * 32
    ann.shop.store._permissions[ghost] = Permission(1, 1, {"service": PurposePermission(True, 1, 1)})
    assert isinstance(ann.shop.read(ghost), PurposePermission)
    done = run()
    assert done.store_subjects == 2
    assert kinds() == [("unknown_subject_in_store", "", "repaired")]
    assert ann.shop.read(ghost) is Denial.NO_RECORD
    assert relay_due(at(101)).purged == 1  # the streams are told as well
    assert run(200).found == 0


def test_fields_of_nobody_are_found_and_dropped(ann: Ann) -> None:
    ghost = "e" * 32
    ann.shop.store._fields[ghost] = {"spend/service": bytes(16)}
    run()
    assert kinds() == [("unknown_subject_in_store", "", "repaired")]
    assert ann.shop.store.read([ghost], ["spend/service"], [], 100).subjects[0].fields == [None]


def test_keys_that_are_no_subjects_are_counted_and_not_named(ann: Ann) -> None:
    for foreign in ("x" * 40, "F" * 32, "f" * 32 + "\n", "nul\0", ""):
        ann.shop.store._permissions[foreign] = Permission(1, 1)
    done = run()
    assert (done.found, done.repaired, done.error, done.finished_at) == (1, 0, "", at(100))
    finding = Finding.objects.get()
    assert (finding.kind, finding.subject, finding.state) == ("unknown_subject_in_store", "", "open")
    assert finding.detail.startswith("5 keys")
    run(200)
    assert Finding.objects.get().seen_at == at(200)


def test_a_retired_purpose_that_the_store_still_allows_is_found(ann: Ann) -> None:
    Purpose.objects.filter(name="service").update(active=False)
    run()
    assert kinds() == [("allows_more", "service", "repaired")]
    assert ann.shop.read(ann.subject) is Denial.REFUSED


def test_an_audit_that_fails_is_recorded_with_its_reason(ann: Ann, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError(f"went wrong\nDETAIL: Key (subject)=({ann.subject})")

    monkeypatch.setattr(auditing, "_look_up", failing)
    with pytest.raises(RuntimeError):
        run()
    done = AuditRun.objects.get()
    assert (done.error, done.finished_at) == ("RuntimeError: went wrong", at(100))


def test_an_audit_whose_process_died_is_ended_by_the_next(ann: Ann) -> None:
    dead = AuditRun.objects.create(started_at=at(1))
    run()
    dead.refresh_from_db()
    assert (dead.error, dead.finished_at) == ("its process ended", at(100))


def test_a_change_that_the_store_has_not_got_yet_is_no_finding(ann: Ann) -> None:
    ann.shop.store.available = False
    ann.shop.withdraw(when=5)
    ann.shop.store.available = True
    assert run(60).found == 0
    assert PermissionChange.objects.filter(published_at=None).count() == 1
    assert run(65).found == 1  # a minute is too long
    assert ann.shop.read(ann.subject) is Denial.REFUSED


def test_a_change_in_the_middle_of_an_audit_is_no_finding(ann: Ann, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of the audit's looks at the store a decision is made between its two readings."""
    stored, decisions = auditing._stored, iter([ann.shop.withdraw, ann.shop.give] * 5)

    def looking(subjects):
        next(decisions)(when=100)
        return stored(subjects)

    monkeypatch.setattr(auditing, "_stored", looking)
    assert run().found == 0


def test_what_the_store_allows_wrongly_is_repaired_before_all_else(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(40)], now=at())
    subjects = sorted(shop.store.subjects())
    for subject in subjects:
        right = permissions_of([subject])[subject]
        allowed = right.purposes | {"service": PurposePermission(True, 1, 1)}
        wrong = Permission(right.epoch, right.sequence, allowed if subject == subjects[-1] else {})
        shop.store._permissions[subject] = wrong
    monkeypatch.setattr(auditing, "BATCH_SIZE", 1)
    order: list[str] = []
    monkeypatch.setattr(auditing, "_repair", lambda batch, now: order.extend(batch))
    monkeypatch.setattr(auditing, "_database_subjects", lambda: iter([subjects]))
    run()
    assert order[0] == subjects[-1]
    assert len(order) == 40


def test_what_can_not_be_repaired_stays_open_as_one_finding_until_it_is_gone(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann.tamper(Permission(1, 1, {}))
    with monkeypatch.context() as patch:
        patch.setattr(auditing, "_repair", lambda batch, now: None)
        run(100)
        first = selectors.open_findings().count()
        run(200)
        assert selectors.open_findings().count() == first == len(kinds())
    ann.tamper(ann.right())
    run(300)
    assert not selectors.open_findings().exists()
    assert set(Finding.objects.values_list("repaired_at", flat=True)) == {at(300)}


def test_with_the_store_away_the_audit_says_so_and_finds_nothing(ann: Ann) -> None:
    ann.shop.store.available = False
    done = run()
    assert (done.found, done.error) == (0, "store is away")


def test_an_unvouched_store_is_not_compared(ann: Ann) -> None:
    ann.shop.store.restart(emptied=True)
    assert "vouch" in run().error
    assert not Finding.objects.exists()


def test_two_audits_at_once_are_one(ann: Ann) -> None:
    with hold_lease("audit", 60, at()) as lease:
        assert lease
        assert run_audit(at(1)) is None
    assert run(2)


def test_a_dead_audit_keeps_others_out_for_two_minutes_at_most(ann: Ann) -> None:
    holder = hold_lease("audit", auditing.LEASE_S, at())
    assert holder.__enter__()
    assert run_audit(at(119)) is None
    assert run_audit(at(120)) is not None


def test_a_finding_is_dismissed_with_a_reason_and_once(ann: Ann, monkeypatch: pytest.MonkeyPatch) -> None:
    ann.tamper(Permission(1, 1, {}))
    monkeypatch.setattr(auditing, "_repair", lambda batch, now: None)
    run()
    finding = selectors.open_findings()[0]
    with pytest.raises(MissingReason):
        services.dismiss(finding.pk, actor="dpo", reason=" ")
    dismissed = services.dismiss(finding.pk, actor="dpo", reason="a test")
    assert (dismissed.state, dismissed.dismissed_by) == ("dismissed", "dpo")
    with pytest.raises(FindingNotOpen):
        services.dismiss(finding.pk, actor="dpo", reason="again")


def test_findings_hold_no_identifier_and_not_without_end(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_FINDINGS_PER_RUN", 10)
    register_many([Registration(f"somebody{n}", "eu", "acme") for n in range(30)], now=at())
    shop.store.restart(emptied=True)
    vouch_for_database(shop.store)
    done = run()
    assert (done.found, done.repaired) == (30, 30)
    assert Finding.objects.count() == 10
    assert not Finding.objects.filter(detail__contains="somebody").exists()


def test_audits_are_forgotten_after_90_days(ann: Ann) -> None:
    run(0)
    run(50 * 86_400)
    assert services.prune(at(100 * 86_400)) == 1
