"""Password checks: Django's own hashes, one at a time, a few waiting, the others refused; a killed process."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import pbkdf2_hmac

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from featurestore.logins import password_hasher
from featurestore.logins.errors import PasswordChecksBusy
from featurestore.logins.password_checks import PasswordChecks
from featurestore.logins.password_hasher import QueuedPBKDF2PasswordHasher

QUICK, LONG = 1_000, 1_000_000


@pytest.fixture
def checks() -> Iterator[PasswordChecks]:
    made = PasswordChecks(max_waiting=1, wait_s=0.05)
    yield made
    made.close()


def derive(checks: PasswordChecks, iterations: int = QUICK) -> bytes:
    return checks.derive(b"p\xc3\xa4ss w\n", b"salt", iterations, "sha256")


def test_key_is_the_standard_librarys(checks: PasswordChecks) -> None:
    assert derive(checks) == pbkdf2_hmac("sha256", b"p\xc3\xa4ss w\n", b"salt", QUICK)


def test_hash_is_djangos(checks: PasswordChecks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_hasher, "password_checks", lambda: checks)
    ours, djangos = QueuedPBKDF2PasswordHasher(), PBKDF2PasswordHasher()
    assert ours.encode("pä", "salt", QUICK) == djangos.encode("pä", "salt", QUICK)
    assert ours.verify("pä", djangos.encode("pä", "salt", QUICK))
    assert not ours.verify("pa", djangos.encode("pä", "salt", QUICK))


def test_process_has_the_lowest_priority_and_no_settings(checks: PasswordChecks) -> None:
    derive(checks)
    assert checks._process is not None
    assert os.getpriority(os.PRIO_PROCESS, checks._process.pid) == 19
    assert os.getpriority(os.PRIO_PROCESS, os.getpid()) < 19 or os.nice(0) == 19


def test_one_check_runs_and_the_surplus_is_refused(checks: PasswordChecks) -> None:
    derive(checks)
    with ThreadPoolExecutor(6) as pool:
        started = threading.Barrier(6)

        def check() -> str:
            started.wait()
            try:
                derive(checks, LONG)
            except PasswordChecksBusy:
                return "refused"
            return "checked"

        answers = [future.result() for future in [pool.submit(check) for _ in range(6)]]
    assert answers.count("checked") == 1, "a second one waits for less than a check takes"
    assert derive(checks), "the places are free again"


def test_killed_process_is_replaced(checks: PasswordChecks) -> None:
    derive(checks)
    first = checks._process
    assert first is not None
    first.kill()
    first.wait()
    assert derive(checks) == pbkdf2_hmac("sha256", b"p\xc3\xa4ss w\n", b"salt", QUICK)
    assert checks._process is not first


def test_process_that_does_not_answer_refuses_the_login() -> None:
    checks = PasswordChecks(answer_s=0.0)
    started = time.monotonic()
    with pytest.raises(PasswordChecksBusy):
        derive(checks, LONG)
    assert time.monotonic() - started < 5
    checks.close()
