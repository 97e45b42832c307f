"""Consent audit: each difference of store and database is found, repaired and recorded, and nothing else is."""

from typing import NamedTuple

import pytest

from featurestore.audit import consent_audit, selectors, services
from featurestore.audit.consent_audit import run_audit
from featurestore.audit.errors import FindingNotOpen, MissingReason
from featurestore.audit.models import AuditRun, Finding
from featurestore.consent.models import ChangeSequence, CurrentPermission, PermissionChange, Purpose
from featurestore.consent.outbox.publication import permissions_of
from featurestore.consent.outbox.relay import relay_due
from featurestore.jobs.job_leases import hold_job_lease
from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.profiles.services import Registration, register_many
from tests.kit.clock import at, ms
from tests.kit.shop import Shop
from tests.kit.stores import vouch_for_database


class RegisteredCustomer(NamedTuple):
    shop: Shop
    subject: str

    def tamper(self, permission: Permission) -> None:
        self.shop.store._permissions[self.subject] = permission

    def expected(self) -> Permission:
        return permissions_of([self.subject])[self.subject]


@pytest.fixture
def ann(shop: Shop) -> RegisteredCustomer:
    """Registered customer who allows the purpose `service`."""
    subject = shop.register().customer.subject
    shop.give()
    return RegisteredCustomer(shop, subject)


def run(when: float = 100) -> AuditRun:
    done = run_audit(at(when))
    assert done is not None
    return done


def kinds() -> list[tuple[str, str, str]]:
    return list(Finding.objects.order_by("pk").values_list("kind", "purpose", "state"))


def test_audit_of_an_agreeing_store_finds_nothing(ann: RegisteredCustomer) -> None:
    done = run()
    assert (done.subjects, done.store_subjects, done.found, done.error) == (1, 1, 0, "")
    assert done.finished_at == at(100)
    assert selectors.last_audit() == done


def test_withdrawn_purpose_allowed_by_the_store_is_repaired(ann: RegisteredCustomer) -> None:
    before = ann.expected()
    ann.shop.withdraw(when=5)
    ann.tamper(before)
    assert isinstance(ann.shop.read(ann.subject), PurposePermission)
    done = run()
    assert (done.found, done.repaired) == (1, 1)
    assert kinds() == [("allows_more", "service", "repaired")]
    assert ann.shop.read(ann.subject) is Denial.REFUSED


def test_row_changed_without_the_services_is_repaired(ann: RegisteredCustomer) -> None:
    CurrentPermission.objects.filter(purpose__name="service").update(allowed=False)
    run()
    assert kinds() == [("allows_more", "service", "repaired")]
    assert ann.shop.read(ann.subject) is Denial.REFUSED


def test_missing_permission_is_published_again(ann: RegisteredCustomer) -> None:
    del ann.shop.store._permissions[ann.subject]
    run()
    assert kinds() == [("missing_in_store", "", "repaired")]
    assert isinstance(ann.shop.read(ann.subject), PurposePermission)


def test_permission_that_vanished_starts_later_and_gets_a_purge(ann: RegisteredCustomer) -> None:
    relay_due(at(50))
    ann.shop.store.delete(ann.subject)
    done = run()
    assert (done.found, done.repaired) == (1, 1)
    granted = ann.shop.read(ann.subject)
    assert isinstance(granted, PurposePermission)
    assert granted.start_ms == ms(at(101))
    assert ann.shop.store.read([ann.subject], [], [], 100).subjects[0].recreation_mark is not None
    assert relay_due(at(102)).purged > 0
    assert run(110).found == 0, "the streams may still be pushing its values"


def test_refusal_that_vanished_gets_the_purge_that_the_streams_passed_by(ann: RegisteredCustomer) -> None:
    for purpose in ("service", "analytics"):
        ann.shop.withdraw(purpose, when=5)
    CurrentPermission.objects.filter(purpose__name="fraud").delete()
    relay_due(at(50))
    ann.shop.store.delete(ann.subject)
    run()
    assert kinds() == [("missing_in_store", "", "repaired")]
    assert ann.shop.read(ann.subject) is Denial.REFUSED
    assert relay_due(at(102)).purged > 0


def test_values_that_are_not_pushed_for_a_minute_are_pushed_again(ann: RegisteredCustomer) -> None:
    """As where Redis loaded a file with a mark whose purge was carried out since."""
    ann.shop.store.delete(ann.subject)
    run()
    relay_due(at(102))
    assert run(150).found == 0
    start_ms = ann.shop.read(ann.subject).start_ms
    done = run(170)
    assert (done.found, done.repaired) == (1, 1)
    assert kinds()[-1] == ("values_missing", "", "repaired")
    assert ann.shop.read(ann.subject).start_ms == start_ms, "nothing was skipped since"
    assert relay_due(at(171)).purged == 1


def test_permission_that_denies_more_is_repaired(ann: RegisteredCustomer) -> None:
    right = ann.expected()
    ann.tamper(Permission(right.epoch, right.sequence, {}))
    run()
    assert {kind for kind, _, _ in kinds()} == {"denies_more"}
    assert ann.shop.stored(ann.subject) == right


@pytest.mark.parametrize("later", [1, 500])
def test_version_that_the_database_never_issued_is_latched_and_not_repaired(
    ann: RegisteredCustomer, later: int
) -> None:
    """The store denies more, as after a withdrawal that the database has lost."""
    right = ann.expected()
    lost = Permission(right.epoch, right.sequence + later, {})
    for n in range(3):
        ann.shop.register(f"other{n}")  # as many changes as were lost, and more
    ann.tamper(lost)
    done = run()
    assert done.repaired == 0
    assert ("ahead_of_database", "", "open") in kinds()
    assert ann.shop.stored(ann.subject) == lost
    assert ann.shop.read(ann.subject) is Denial.UNVOUCHED
    assert ChangeSequence.objects.get().latched_at is not None
    assert "vouch" in run(200).error
    assert ann.shop.stored(ann.subject) == lost


def test_subject_that_the_database_never_had_is_latched(ann: RegisteredCustomer) -> None:
    ghost, denial = "f" * 32, Permission(1, 1, {"analytics": PurposePermission(False, 1, 1)})
    ann.shop.store._permissions[ghost] = denial
    assert run().repaired == 0
    assert kinds() == [("unknown_subject_in_store", "", "open")]
    assert ann.shop.stored(ghost) == denial
    assert ann.shop.read(ann.subject) is Denial.UNVOUCHED


def test_unknown_subject_of_an_earlier_epoch_gets_a_versioned_denial(ann: RegisteredCustomer) -> None:
    """An operator has decided about the database that lost it."""
    ghost = "f" * 32
    ann.shop.store._permissions[ghost] = Permission(0, 1, {"service": PurposePermission(True, 1, 1)})
    assert isinstance(ann.shop.read(ghost), PurposePermission)
    done = run()
    assert done.store_subjects == 2
    assert kinds() == [("unknown_subject_in_store", "", "repaired")]
    assert ann.shop.read(ghost) is Denial.NO_RECORD
    assert relay_due(at(101)).purged == 1  # the streams get a purge as well
    assert run(200).found == 0


def test_denial_of_a_subject_that_was_forgotten_after_its_erasure_is_erased(ann: RegisteredCustomer) -> None:
    """A Redis with an old file has it again. It names no purpose, and its change is none that was lost."""
    forgotten = "f" * 32
    epoch, sequence = ann.expected().fence
    ann.shop.store._permissions[forgotten] = Permission(epoch, sequence - 1)
    run()
    assert kinds() == []
    assert ann.shop.store.contents([forgotten]) == [{}]
    assert ann.shop.read(ann.subject) is not Denial.UNVOUCHED


def test_denial_that_the_database_has_not_made_yet_shows_a_lost_commit(ann: RegisteredCustomer) -> None:
    epoch, sequence = ann.expected().fence
    ann.shop.store._permissions["f" * 32] = Permission(epoch, sequence + 1)
    run()
    assert kinds() == [("unknown_subject_in_store", "", "open")]
    assert ann.shop.read(ann.subject) is Denial.UNVOUCHED


def test_fields_without_a_permission_are_found_and_dropped(ann: RegisteredCustomer) -> None:
    ghost = "e" * 32
    ann.shop.store._fields[ghost] = {"spend/service": bytes(16)}
    run()
    assert kinds() == [("unknown_subject_in_store", "", "repaired")]
    assert ann.shop.store.read([ghost], ["spend/service"], [], 100).subjects[0].fields == [None]


def test_foreign_keys_in_redis_are_counted_not_named(ann: RegisteredCustomer) -> None:
    for foreign in ("x" * 40, "F" * 32, "f" * 32 + "\n", "nul\0", ""):
        ann.shop.store._permissions[foreign] = Permission(1, 1)
    done = run()
    assert (done.found, done.repaired, done.error, done.finished_at) == (1, 0, "", at(100))
    finding = Finding.objects.get()
    assert (finding.kind, finding.subject, finding.state) == ("unknown_subject_in_store", "", "open")
    assert finding.detail.startswith("5 keys")
    run(200)
    assert Finding.objects.get().seen_at == at(200)


def test_retired_purpose_allowed_by_the_store_is_found(ann: RegisteredCustomer) -> None:
    Purpose.objects.filter(name="service").update(active=False)
    run()
    assert kinds() == [("allows_more", "service", "repaired")]
    assert ann.shop.read(ann.subject) is Denial.REFUSED


def test_failed_audit_is_recorded_with_its_error(ann: RegisteredCustomer, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError(f"went wrong\nDETAIL: Key (subject)=({ann.subject})")

    monkeypatch.setattr(consent_audit, "_look_up", failing)
    with pytest.raises(RuntimeError):
        run()
    done = AuditRun.objects.get()
    assert (done.error, done.finished_at) == ("RuntimeError: went wrong", at(100))


def test_next_audit_ends_an_abandoned_one(ann: RegisteredCustomer) -> None:
    dead = AuditRun.objects.create(started_at=at(1))
    run()
    dead.refresh_from_db()
    assert (dead.error, dead.finished_at) == ("its process ended", at(100))


def test_recent_unpublished_change_is_no_finding(ann: RegisteredCustomer) -> None:
    ann.shop.store.available = False
    ann.shop.withdraw(when=5)
    ann.shop.store.available = True
    assert run(60).found == 0
    assert PermissionChange.objects.filter(published_at=None).count() == 1
    assert run(65).found == 1  # unpublished for longer than a minute
    assert ann.shop.read(ann.subject) is Denial.REFUSED


def test_change_during_an_audit_is_no_finding(ann: RegisteredCustomer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision is made between each two reads of the audit."""
    stored, decisions = consent_audit._stored, iter([ann.shop.withdraw, ann.shop.give] * 5)

    def looking(subjects):
        next(decisions)(when=100)
        return stored(subjects)

    monkeypatch.setattr(consent_audit, "_stored", looking)
    assert run().found == 0


def test_wrongly_allowed_permissions_are_repaired_first(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(40)], now=at())
    subjects = sorted(shop.store.subjects())
    for subject in subjects:
        right = permissions_of([subject])[subject]
        allowed = right.purposes | {"service": PurposePermission(True, 1, 1)}
        wrong = Permission(right.epoch, right.sequence, allowed if subject == subjects[-1] else {})
        shop.store._permissions[subject] = wrong
    monkeypatch.setattr(consent_audit, "BATCH_SIZE", 1)
    order: list[str] = []
    monkeypatch.setattr(consent_audit, "_repair", lambda batch, now: order.extend(batch))
    monkeypatch.setattr(consent_audit, "_database_subjects", lambda: iter([subjects]))
    run()
    assert order[0] == subjects[-1]
    assert len(order) == 40


def test_unrepaired_difference_stays_one_open_finding(ann: RegisteredCustomer, monkeypatch: pytest.MonkeyPatch) -> None:
    ann.tamper(Permission(1, 1, {}))
    with monkeypatch.context() as patch:
        patch.setattr(consent_audit, "_repair", lambda batch, now: None)
        run(100)
        first = selectors.open_findings().count()
        run(200)
        assert selectors.open_findings().count() == first == len(kinds())
    ann.tamper(ann.expected())
    run(300)
    assert not selectors.open_findings().exists()
    assert set(Finding.objects.values_list("repaired_at", flat=True)) == {at(300)}


def test_audit_without_the_store_ends_early_without_findings(ann: RegisteredCustomer) -> None:
    ann.shop.store.available = False
    done = run()
    assert (done.found, done.error) == (0, "store is unavailable")


def test_unvouched_store_is_not_compared(ann: RegisteredCustomer) -> None:
    ann.shop.store.restart(emptied=True)
    assert "vouch" in run().error
    assert not Finding.objects.exists()


def test_second_concurrent_audit_does_not_run(ann: RegisteredCustomer) -> None:
    with hold_job_lease("audit", 60, at()) as lease:
        assert lease
        assert run_audit(at(1)) is None
    assert run(2)


def test_dead_audit_holds_the_lease_two_minutes_at_most(ann: RegisteredCustomer) -> None:
    holder = hold_job_lease("audit", consent_audit.LEASE_S, at())
    assert holder.__enter__()
    assert run_audit(at(119)) is None
    assert run_audit(at(120)) is not None


def test_finding_is_dismissed_once_with_a_reason(ann: RegisteredCustomer, monkeypatch: pytest.MonkeyPatch) -> None:
    ann.tamper(Permission(1, 1, {}))
    monkeypatch.setattr(consent_audit, "_repair", lambda batch, now: None)
    run()
    finding = selectors.open_findings()[0]
    with pytest.raises(MissingReason):
        services.dismiss(finding.pk, actor="dpo", reason=" ")
    dismissed = services.dismiss(finding.pk, actor="dpo", reason="a test")
    assert (dismissed.state, dismissed.dismissed_by) == ("dismissed", "dpo")
    with pytest.raises(FindingNotOpen):
        services.dismiss(finding.pk, actor="dpo", reason="again")


def test_findings_are_bounded_and_name_no_customer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_FINDINGS_PER_RUN", 10)
    register_many([Registration(f"somebody{n}", "eu", "acme") for n in range(30)], now=at())
    shop.store.restart(emptied=True)
    vouch_for_database(shop.store)
    done = run()
    assert (done.found, done.repaired) == (30, 30)
    assert Finding.objects.count() == 10
    assert not Finding.objects.filter(detail__contains="somebody").exists()


def test_audits_are_deleted_after_90_days(ann: RegisteredCustomer) -> None:
    run(0)
    run(50 * 86_400)
    assert services.prune(at(100 * 86_400)) == 1
