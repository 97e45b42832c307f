"""Collecting and packing: killed anywhere they resume; a location that is down and a full disk are waited for."""

import errno
import resource
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from featurestore.jobs.job_leases import hold_job_lease
from featurestore.requests.export import collection, folder, packing, services
from featurestore.requests.export.errors import ExportNotPossible, FolderFull
from featurestore.requests.export.expiry import end_overdue
from featurestore.requests.export.models import DataExport, ExportCategory, SpoolPart
from featurestore.requests.export.next_step import next_text
from featurestore.requests.export.spool import Spool
from featurestore.requests.export.states import ExportState
from featurestore.requests.export.waiting import SPACE
from featurestore.requests.export.work import LEASE, LEASE_S, advance
from tests.kit.exports import ExportEnvironment, reloaded
from tests.kit.requests import NOON, OLIVIA, day

pytestmark = pytest.mark.django_db


class KilledError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_first_export_is_collected_in_pages_and_counted(exports: ExportEnvironment) -> None:
    export = exports.collected()
    assert export.parts == SpoolPart.objects.count() == 3
    orders = ExportCategory.objects.get(name="Orders")
    assert (orders.items, orders.fields["total"], orders.origins) == (600, ["number"], {"web shop": 600})
    notes = ExportCategory.objects.get(name="Letters")
    assert (notes.items, notes.fields["score"], notes.locations) == (3, ["null"], ["letters"])
    assert [event.kind for event in export.request.events.all()][-2:] == ["export_started", "export_collected"]
    assert export.request.state == "in_progress"


def test_export_that_is_killed_between_pages_resumes_where_it_was(
    exports: ExportEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = exports.started()
    append, calls = Spool.append, [0]

    def killed_after_writing(self: Spool, *args: Any) -> Any:
        places = append(self, *args)
        calls[0] += 1
        if calls[0] == 3:
            raise KilledError  # bytes are on the disk that no row knows
        return places

    monkeypatch.setattr(Spool, "append", killed_after_writing)
    with pytest.raises(KilledError):
        advance(NOON)
    assert reloaded(export).items == 503
    monkeypatch.setattr(Spool, "append", append)
    before = exports.orders.calls
    later = NOON + timedelta(seconds=LEASE_S + 1)
    advance(later)
    export = reloaded(export)
    assert (export.state, export.items) == (ExportState.IN_REVIEW, 603)
    assert exports.orders.calls == before + 1
    assert (exports.folder / f"{export.name}.spool").stat().st_size == export.spool_bytes
    services.release(export.pk, OLIVIA, now=later)
    advance(later)
    assert len(exports.opened(reloaded(export), later).lines("orders")) == 600


def test_export_that_is_killed_while_it_is_packed_is_packed_anew(
    exports: ExportEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = exports.collected()
    services.release(export.pk, OLIVIA, now=NOON)
    for name in ("summary_page", "schema_of", "packed"):  # at its beginning, in its middle, when the file is complete
        with monkeypatch.context() as patch:
            patch.setattr(packing, name, lambda *args, **kwargs: (_ for _ in ()).throw(KilledError()))
            with pytest.raises(KilledError):
                advance(NOON)
        assert reloaded(export).state == ExportState.PACKING
        end_overdue(NOON)
        assert f"{export.name}.spool" in exports.files()
    advance(NOON)
    export = reloaded(export)
    assert export.state == ExportState.RELEASED
    assert exports.files() == [f"{export.name}.zip"]
    assert len(exports.opened(export).lines("orders")) == 600


def test_location_that_is_down_is_waited_for_and_named(exports: ExportEnvironment) -> None:
    exports.notes.down = True
    export = exports.collected()
    assert (export.state, export.waiting_for) == (ExportState.COLLECTING, "Letters")
    assert "does not answer" in export.problem
    assert export.waiting_since == NOON
    calls = exports.notes.calls
    advance(NOON + timedelta(seconds=5))
    assert exports.notes.calls == calls, "asked again before its time"
    advance(NOON + timedelta(seconds=31))
    export = reloaded(export)
    assert (exports.notes.calls, export.waiting_since, export.attempts) == (calls + 1, NOON, 2)
    exports.notes.down = False
    advance(NOON + timedelta(minutes=30))
    export = reloaded(export)
    assert (export.state, export.waiting_for, export.problem) == (ExportState.IN_REVIEW, "", "")


def test_location_that_fails_is_told_and_the_others_go_on(exports: ExportEnvironment) -> None:
    exports.notes.fails = ZeroDivisionError("customer C1")
    export = exports.started()
    with pytest.raises(ZeroDivisionError):
        advance(NOON)
    export = reloaded(export)
    assert export.waiting_for == "Letters"
    assert "ZeroDivisionError" in export.problem
    assert "C1" not in export.problem


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("packing_too", [False, True], ids=["collecting", "packing"])
def test_full_disk_is_waited_for_and_the_export_goes_on_where_it_was(
    exports: ExportEnvironment, monkeypatch: pytest.MonkeyPatch, number: int, packing_too: bool
) -> None:
    export = exports.collected() if packing_too else exports.started()
    if packing_too:
        services.release(export.pk, OLIVIA, now=NOON)

    before = {path.name: path.read_bytes() for path in exports.folder.glob("*")} if packing_too else {}

    def full(descriptor: int) -> None:
        raise OSError(number, "full")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(folder.os, "fsync", full)
        advance(NOON)
        advance(NOON + timedelta(seconds=31))
    export = reloaded(export)
    assert export.state == (ExportState.PACKING if packing_too else ExportState.COLLECTING)
    assert (export.waiting_for, export.waiting_since, export.attempts) == (SPACE, NOON, 2)
    assert "Free space" in next_text(export)
    left = {path.name: path.read_bytes() for path in exports.folder.glob("*")}
    assert left == (before or {f"{export.name}.spool": b""}), "what could not be completed takes no space"
    advance(NOON + timedelta(hours=1))
    export = reloaded(export)
    assert export.state == (ExportState.RELEASED if packing_too else ExportState.IN_REVIEW)
    assert (export.waiting_for, export.waiting_since, export.problem) == ("", None, "")


def test_disk_that_is_full_at_any_byte_of_the_spool_is_told_and_resumed(exports: ExportEnvironment) -> None:
    """The largest file of this process stands for the disk: its errors come from the operating system."""
    export = exports.started()
    spool = Spool(export.name, export.encrypted_key)
    assert spool.append([b"first"], 0, 0)[0][0] == 0
    length = (exports.folder / f"{export.name}.spool").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (length + 10, before[1]))
        with pytest.raises(FolderFull, match="Free space"):
            spool.append([b"second"], 1, length)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (exports.folder / f"{export.name}.spool").stat().st_size == length
    ((offset, size),) = spool.append([b"second"], 1, length)
    assert spool.read(1, offset, size) == [b"second"]


def test_export_whose_spool_is_lost_or_changed_fails(exports: ExportEnvironment) -> None:
    lost, changed = exports.collected(), exports.collected(customer_id="C2")
    (exports.folder / f"{lost.name}.spool").unlink()
    path = exports.folder / f"{changed.name}.spool"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    for export, said in ((lost, "not in the export folder"), (changed, "can't be decrypted")):
        services.release(export.pk, OLIVIA, now=NOON)
        advance(NOON)
        assert reloaded(export).state == ExportState.FAILED
        assert said in reloaded(export).problem
    assert exports.files() == []


def test_second_process_does_nothing_while_the_first_holds_the_lease(exports: ExportEnvironment) -> None:
    exports.started()
    with hold_job_lease(LEASE, LEASE_S, NOON):
        assert advance(NOON) == 0
    assert advance(NOON) > 0


def test_process_that_lost_its_lease_changes_nothing(exports: ExportEnvironment) -> None:
    export = exports.started()
    assert not collection.collect(export, lambda: False, NOON)
    assert reloaded(export).items == 0
    stale = reloaded(export)
    DataExport.objects.filter(pk=export.pk).update(parts=7)
    assert not collection.collect(stale, lambda: True, NOON)
    assert reloaded(export).items == 0


def test_request_has_one_open_export(exports: ExportEnvironment) -> None:
    export = exports.started()
    with pytest.raises(ExportNotPossible, match="has not ended"):
        services.start(export.request.reference, OLIVIA, NOON)
    services.cancel(export.pk, OLIVIA, "asked for by mistake", NOON)
    services.start(export.request.reference, OLIVIA, NOON)
    with pytest.raises(IntegrityError), transaction.atomic():
        DataExport.objects.create(
            request=export.request, name="f" * 32, created_at=NOON, changed_at=NOON, next_attempt_at=NOON
        )


def test_unverified_answered_and_other_requests_have_no_export(exports: ExportEnvironment) -> None:
    unverified = exports.requests.receive("access")
    with pytest.raises(ExportNotPossible, match="verified"):
        services.start(unverified.reference, OLIVIA, NOON)
    erasure = exports.requests.verified("erasure", customer_id="C2")
    with pytest.raises(ExportNotPossible, match="access or portability"):
        services.start(erasure.reference, OLIVIA, NOON)


def test_other_customers_of_a_page_are_never_asked_for(exports: ExportEnvironment) -> None:
    export = exports.started(customer_id="C2")
    advance(NOON)
    assert export.request.subject != exports.requests.verified("access", day(1)).subject
    assert reloaded(export).items == 603
