"""Processes that append, sequence and sign one log at once, and are killed at random: no entry is lost or twice."""

from collections import defaultdict
from pathlib import Path

import pytest
from django.db import connection

from devservers.installation import NO_SERVER, Installation
from featurestore.auditlog import export
from featurestore.auditlog.entries import read_content
from featurestore.auditlog.log_verifier import Verification
from featurestore.auditlog.models import EntryContent, Leaf
from featurestore.auditlog.services import sequence_due, sign_due

LIVES, LONGEST_S, SEED = 40, 0.12, 15
APPENDER = """
import os, random, signal, sys, time
import django
django.setup()
from django.db import transaction
from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append, sequence, sign_due
from featurestore.clock import database_now
name, lives, longest_s, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
committed = os.open(sys.argv[5], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def live(life):
    for number in range(life * 100_000, (life + 1) * 100_000):
        with transaction.atomic():
            append(Entry("test.done", database_now(), {"name": name, "number": number}, "system"))
        os.write(committed, f"{number}\\n".encode())
        sequence(limit=3)
        sign_due()

chance = random.Random(name + seed)
def committed_entries():
    return len(open(sys.argv[5]).read().split())

life = 0
while life < lives or committed_entries() <= life and life < 10 * lives:  # a slow machine needs more lives
    if not (process := os.fork()):
        live(life)
    time.sleep(chance.uniform(0, longest_s))
    os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGKILL, f"the life {life} of {name} ended by itself: {status}"
    life += 1
print(life)
"""


def address(folder: Path, request: pytest.FixtureRequest) -> str:
    """The address of the test's database, for other processes."""
    if connection.vendor == "sqlite":
        return f"sqlite:///{folder}/rapport.sqlite3"
    return str(request.getfixturevalue("postgres_server").url_of(connection.settings_dict["NAME"]))


def test_killed_processes_leave_one_order_without_gaps_that_verifies(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made = Installation(tmp_path, kafka=NO_SERVER, store=f"redis://{NO_SERVER}/0", database=address(tmp_path, request))
    made.change_settings(audit_log_head_s=1)
    names = ("first", "second")
    for name in names:
        made.start(name, "-c", APPENDER, name, str(LIVES), str(LONGEST_S), str(SEED), tmp_path / f"{name}.committed")
    for name in names:
        assert made.processes[name].wait(timeout=120) == 0, (tmp_path / f"{name}.log").read_text()
    sequence_due()
    sign_due()
    sequence_due()

    committed = {name: list(map(int, (tmp_path / f"{name}.committed").read_text().split())) for name in names}
    logged = defaultdict[str, list[int]](list)
    for content in EntryContent.objects.order_by("pk").values_list("content", flat=True):
        if (told := read_content(content))["type"] == "test.done":
            logged[told["details"]["name"]].append(told["details"]["number"])
    for name in names:
        lives = int((tmp_path / f"{name}.log").read_text().split()[-1])
        assert len(committed[name]) > lives >= LIVES, "it appended more than an entry a life"
        assert logged[name] == sorted(set(logged[name])), "each once, in the order of its commits"
        lost = set(committed[name]) - set(logged[name])
        assert not lost
        assert len(logged[name]) <= len(committed[name]) + lives, "a kill hides one commit at most"
    assert list(Leaf.objects.order_by("pk").values_list("pk", flat=True)) == list(range(Leaf.objects.count()))
    verification = Verification()
    assert export.verify(verification) == []
    assert verification.heads > 1
