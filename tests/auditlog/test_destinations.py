"""Tree heads that are sent elsewhere: to a folder, to a webhook; tried again; a rewritten log is found by them."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from featurestore.auditlog.log_verifier import Head, Note, kept_heads
from featurestore.auditlog.models import HeadDestination, TreeHead
from featurestore.auditlog.services import send_heads
from featurestore.auditlog.services.destinations import FILE_NAME
from featurestore.config import settings
from featurestore.jobs.job_leases import hold_job_lease
from featurestore.signed_webhooks import key_of, signed_headers
from tests.auditlog.conftest import write_signed
from tests.kit.clock import at

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SECRET = "whsec_" + "QUJD" * 8
HOOK = "https://keeper.example/heads"


class Keeper:
    """Receiver of webhooks. ``answer``: its status, or the error with which the connection ends."""

    def __init__(self) -> None:
        self.answer: int | Exception = 204
        self.calls: list[tuple[str, bytes, Mapping[str, str]]] = []

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.calls.append((url, body, headers))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def send_to(monkeypatch: pytest.MonkeyPatch, database: str) -> Keeper:
    monkeypatch.setenv("RAPPORT_AUDIT_LOG_SEND_TO", HOOK)
    monkeypatch.setenv("RAPPORT_AUDIT_LOG_SEND_SECRET", SECRET)
    settings.cache_clear()
    return Keeper()


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, database: str, tmp_path: Path) -> Path:
    monkeypatch.setenv("RAPPORT_AUDIT_LOG_SEND_TO", f"file:{tmp_path}")
    settings.cache_clear()
    return tmp_path / FILE_NAME


def notes(path: Path) -> list[str]:
    return kept_heads(str(path))


def test_newest_tree_head_is_appended_to_a_file_once(folder: Path) -> None:
    assert send_heads(at(0)) == 0, "none was signed"
    write_signed(3, 5)
    assert (send_heads(at(1)), send_heads(at(2))) == (1, 0)
    assert notes(folder) == [TreeHead.objects.get(pk=5).note]
    write_signed(9, hour=9)
    assert send_heads(at(3)) == 1
    assert [Head.parse(Note.parse(note).text).size for note in notes(folder)] == [5, 9]
    place = HeadDestination.objects.get()
    assert (place.size, place.sent_at, place.error) == (9, at(3), "")


def test_tree_head_that_a_crash_cut_off_is_passed_over(folder: Path) -> None:
    folder.write_text("rapport/audit-log\n2\nAAA", encoding="utf-8")
    write_signed(3)
    assert send_heads(at(0)) == 1
    assert notes(folder) == [TreeHead.objects.get(pk=3).note]
    call_command("auditlog", "verify", "--head", str(folder))


def test_webhook_gets_a_signed_tree_head(send_to: Keeper) -> None:
    write_signed(3)
    assert send_heads(at(60), send_to) == 1
    ((url, body, headers),) = send_to.calls
    told = json.loads(body)
    assert (url, told["type"]) == (HOOK, "audit_log.tree_head")
    assert told["data"] == {"note": TreeHead.objects.get().note, "size": 3}
    assert headers == signed_headers(key_of(SECRET), "tree-head-3", int(at(60).timestamp()), body)


@pytest.mark.parametrize("answer", [500, 302, TimeoutError()])
def test_place_that_does_not_answer_is_tried_again_later_and_later(send_to: Keeper, answer: int | Exception) -> None:
    write_signed(3)
    send_to.answer, when, tried_at = answer, at(0), []
    for minute in range(200):
        if send_heads(when + timedelta(minutes=minute), send_to) or len(send_to.calls) > len(tried_at):
            tried_at.append(minute)
    assert tried_at == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    place = HeadDestination.objects.get()
    assert (place.size, place.attempts) == (0, 9)
    assert place.error.startswith("The webhook ")
    send_to.answer = 204
    assert send_heads(when + timedelta(minutes=243), send_to) == 1
    place.refresh_from_db()
    assert (place.size, place.attempts, place.next_attempt_at, place.error) == (3, 0, None, "")


def test_folder_that_can_not_be_written_is_an_error_that_is_seen(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAPPORT_AUDIT_LOG_SEND_TO", f"file:{tmp_path}/none file:{tmp_path}")
    settings.cache_clear()
    write_signed(3)
    assert send_heads(at(0)) == 1, "the other place got it"
    found = HeadDestination.objects.get(address=f"file:{tmp_path}/none")
    assert found.error == f"The file {FILE_NAME} can't be written: No such file or directory."


def test_two_processes_do_not_send_at_once(folder: Path) -> None:
    write_signed(3)
    with hold_job_lease("auditlog.send", 60, at(0)):
        assert send_heads(at(1)) == 0
    assert send_heads(at(2)) == 1


def test_log_that_was_rewritten_is_found_by_what_was_sent(folder: Path) -> None:
    write_signed(4, 8)
    send_heads(at(0))
    rewrite()
    call_command("auditlog", "verify")  # nothing in the database tells
    with pytest.raises(CommandError, match="does not hold"):
        call_command("auditlog", "verify", "--head", str(folder))


def test_log_that_was_cut_is_not_sent_and_its_place_says_so(folder: Path) -> None:
    write_signed(8)
    send_heads(at(0))
    rewrite()
    assert send_heads(at(4000)) == 0
    assert HeadDestination.objects.get().error == "The log has 5 entries, and a tree head of 8 was sent here."


def rewrite() -> None:
    """Make another log of five entries in its place, as one who has the key can."""
    with connection.cursor() as cursor:
        for table in ("auditlog_leaf", "auditlog_entrycontent", "auditlog_treehead", "auditlog_node"):
            cursor.execute(f"DELETE FROM {table}")
    write_signed(5, hour=20)


def test_file_without_a_tree_head_is_refused(database: str, tmp_path: Path) -> None:
    write_signed(3)
    path = tmp_path / "heads"
    path.write_text("rapport/audit-log\n2\nAAA", encoding="utf-8")
    with pytest.raises(CommandError, match="no tree head"):
        call_command("auditlog", "verify", "--head", str(path))
