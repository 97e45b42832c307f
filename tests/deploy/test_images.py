"""Dockerfile and docker-compose.yml, checked by hadolint and `docker compose config`, without a container engine."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from featurestore.config import ROOT, Settings

TOOLS = Path(sys.executable).parent
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SECRETS = sorted(set(re.findall(r"\$\{(\w+):\?", COMPOSE)))


def compose(**environment: str) -> "subprocess.CompletedProcess[str]":
    command = [TOOLS / "docker-compose", "config", "--format", "json"]
    environment["COMPOSE_DISABLE_ENV_FILE"] = "1"
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    run = compose(**dict.fromkeys(SECRETS, "x"))
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["services"]


def test_dockerfile_passes_hadolint() -> None:
    run = subprocess.run([TOOLS / "hadolint", ROOT / "deploy" / "Dockerfile"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "")


@pytest.mark.parametrize("missing", SECRETS)
def test_secret_without_a_value_is_refused(missing: str) -> None:
    run = compose(**{name: "x" for name in SECRETS if name != missing})
    assert run.returncode != 0
    assert f"required variable {missing} is missing" in run.stderr


def test_every_setting_in_use_exists(services: dict[str, Any]) -> None:
    known = {f"RAPPORT_{field.upper()}" for field in Settings.model_fields}
    used = {name for service in services.values() for name in service.get("environment") or {}}
    assert {name for name in used if name.startswith("RAPPORT_")} <= known


def test_streams_have_neither_secrets_nor_a_database(services: dict[str, Any]) -> None:
    secrets = {"RAPPORT_SECRET_KEY", "RAPPORT_SUBJECT_SECRET", "RAPPORT_CONTACT_KEY", "RAPPORT_DATABASE_URL"}
    assert not secrets & set(services["streams"]["environment"])


def test_ports_are_on_loopback_and_images_pinned(services: dict[str, Any]) -> None:
    for service in services.values():
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", []))
        assert re.search(r":\D*\d+\.?\d*", service["image"]), service["image"]


def test_every_service_except_the_jobs_restarts(services: dict[str, Any]) -> None:
    jobs = {name for name, service in services.items() if service["restart"] == "no"}
    assert jobs == {"migrate", "topics"}
