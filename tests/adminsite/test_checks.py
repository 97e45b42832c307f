"""System checks: production refuses unsafe settings and an outdated database, with the remedy."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from django.db import ProgrammingError

from adminsite import checks
from adminsite.checks import unsafe
from featurestore.config import INSECURE, ROOT, Settings
from featurestore.installed_catalog import load_catalog
from tests.kit.databases import database

__all__ = ["database"]

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SAFE = {
    "environment": "production",
    "secret_key": "s" * 40,
    "subject_secret": "t" * 40,
    "contact_key": "c" * 40,
    "suppression_keys": "1:" + "d" * 40,
    "audit_log_keys": "1:" + "l" * 40,
    "database_url": "postgresql://rapport@db/rapport?sslmode=verify-full",
    "allowed_hosts": ["features.example.org"],
    "https": True,
    "celery_eager": False,
    "journal_topic": "consent.journal",
    "passed_by_topic": "rapport.passed-by",
    "second_factor": "required",
}


def codes(**changed: object) -> list[str]:
    return [finding.id.removeprefix("rapport.") for finding in unsafe(Settings(**{**SAFE, **changed}))]


def test_a_catalog_that_does_not_exist_is_an_error_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "catalog", lambda: load_catalog("no_such_catalog", ROOT))
    (found,) = checks.unusable_catalog()
    assert found.id == "rapport.E011"
    assert "there is no such module" in found.msg
    with pytest.raises(SystemExit, match=r"rapport\.E011: RAPPORT_CATALOG names no_such_catalog"):
        checks.refuse_if_unsafe()


def test_safe_settings_pass() -> None:
    assert codes() == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"secret_key": INSECURE}, "E001"),
        ({"subject_secret": INSECURE}, "E001"),
        ({"subject_secret": "short"}, "E001"),
        ({"contact_key": INSECURE}, "E001"),
        ({"suppression_keys": f"2:{'e' * 40},1:{INSECURE}"}, "E001"),
        ({"suppression_keys": f"2:{'e' * 40},1:short"}, "E001"),
        ({"suppression_keys": f"2:{'d' * 40},1:{'d' * 40}"}, "E002"),
        ({"suppression_keys": f"1:{'c' * 40}"}, "E002"),
        ({"audit_log_keys": f"1:{INSECURE}"}, "E001"),
        ({"audit_log_keys": f"2:{'e' * 40},1:short"}, "E001"),
        ({"audit_log_keys": f"1:{'c' * 40}"}, "E002"),
        ({"audit_log_key_provider": "file:/no/such/file"}, "E013"),
        ({"secret_key": "t" * 40}, "E002"),
        ({"contact_key": "t" * 40}, "E002"),
        ({"debug": True}, "E003"),
        ({"database_url": "sqlite:///var/x.sqlite3"}, "E004"),
        ({"allowed_hosts": []}, "E005"),
        ({"allowed_hosts": ["*"]}, "E005"),
        ({"https": False}, "E006"),
        ({"kafka_embedded": True}, "E007"),
        ({"celery_eager": True}, "E008"),
        ({"journal_topic": ""}, "E010"),
        ({"passed_by_topic": ""}, "E012"),
        ({"second_factor": "optional"}, "E030"),
        ({"message_webhook_url": "http://shop.example.org/hook", "message_webhook_secret": WEBHOOK_SECRET}, "E031"),
        ({"message_webhook_url": "https://shop.example.org/hook", "message_webhook_secret": "whsec_c2hvcnQ="}, "E031"),
    ],
)
def test_each_unsafe_setting_is_reported(changed: dict[str, object], code: str) -> None:
    assert codes(**changed) == [code]


def test_unsafe_settings_are_allowed_in_development() -> None:
    assert codes(environment="development", secret_key=INSECURE, debug=True, https=False) == []


def test_errors_contain_no_secret() -> None:
    found = unsafe(Settings(**{**SAFE, "secret_key": "hunter2", "subject_secret": "hunter2"}))
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "migrate", "--plan"],
        ["-c", "import adminsite.wsgi"],
        ["-m", "celery", "--app", "adminsite", "worker"],
        ["-m", "celery", "--app", "adminsite", "beat", "--schedule", "{folder}/beat"],
    ],
    ids=["command", "wsgi", "celery", "beat"],
)
def test_no_process_starts_with_unsafe_settings(command: list[str], tmp_path: Path) -> None:
    command = [word.format(folder=tmp_path) for word in command]
    env = {**os.environ, "RAPPORT_ENVIRONMENT": "production", "DJANGO_SETTINGS_MODULE": "adminsite.settings"}
    run = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert run.returncode != 0
    assert "rapport.E004" in run.stderr


def test_database_of_an_earlier_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE django_migrations (id INTEGER, app TEXT, name TEXT, applied TEXT)")
        database.execute("INSERT INTO django_migrations VALUES (1, 'privacy', '0001_initial', '2026-11-25')")
    environment = {**os.environ, "RAPPORT_DATABASE_URL": f"sqlite:///{file}"}
    for command in (
        ["manage.py", "migrate", "--noinput"],
        ["manage.py", "verify_store"],
        ["-c", "import adminsite.wsgi"],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode, command
        assert "was made by a version before 0.2" in done.stderr, command
        assert "manage.py migrate" in done.stderr, command
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("django_migrations",)]


def test_unsafe_settings_are_refused_before_the_database_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ProgrammingError("permission denied for table django_migrations")

    monkeypatch.setattr(checks, "outdated_database", fail)
    monkeypatch.setattr(checks, "settings", lambda: Settings(**{**SAFE, "debug": True}))
    with pytest.raises(SystemExit, match=r"rapport\.E003"):
        checks.refuse_if_unsafe()


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_postgresql_without_synchronous_replication_is_a_warning(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = checks.asynchronous_replication(databases=["default"])
    assert found.id == "rapport.W001"
    assert "no synchronous replication" in found.msg
    monkeypatch.setattr(checks, "REPLICATION_QUERY", "SELECT 'ANY 1 (a, b)', 'local'")
    assert "synchronous_commit is local" in checks.asynchronous_replication(databases=["default"])[0].msg
    monkeypatch.setattr(checks, "REPLICATION_QUERY", "SELECT 'ANY 1 (a, b)', 'on'")
    assert checks.asynchronous_replication(databases=["default"]) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sqlite_gives_no_warning_of_replication(database: str) -> None:
    assert checks.asynchronous_replication(databases=["default"]) == []
