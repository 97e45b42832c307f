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
    names = ("SECRET_KEY", "SUBJECT_SECRET", "CONTACT_KEY", "SUPPRESSION_KEYS", "WRAPPING_KEYS", "AUDIT_LOG_KEYS",
             "DATABASE_URL", "KEY_STORE_URL")  # fmt: skip
    secrets = {f"RAPPORT_{name}" for name in names}
    assert not secrets & set(services["streams"]["environment"])


@pytest.mark.parametrize(("name", "usual"), [("store", "2gb"), ("control", "1gb")])
def test_redis_has_a_limit_of_memory_and_refuses_writes_when_it_is_full(
    services: dict[str, Any], name: str, usual: str
) -> None:
    limit = re.compile(r"--maxmemory (\S+) --maxmemory-policy noeviction")
    assert limit.search(services[name]["command"][-1])[1] == usual  # type: ignore[index]
    run = compose(**dict.fromkeys(SECRETS, "x"), **{f"{name.upper()}_MAXMEMORY": "512mb"})
    assert limit.search(json.loads(run.stdout)["services"][name]["command"][-1])[1] == "512mb"  # type: ignore[index]


def test_only_the_api_is_published_and_images_are_pinned(services: dict[str, Any]) -> None:
    for service in services.values():
        assert re.search(r":\D*\d+\.?\d*", service["image"]), service["image"]
    published = {
        (name, port["published"])
        for name, service in services.items()
        for port in service.get("ports", [])
        if port.get("host_ip") != "127.0.0.1"
    }
    assert published == {("proxy", "443")}


@pytest.mark.parametrize("name", ["api", "sse", "celery", "celery-urgent", "streams", "store-verifier"])
def test_service_may_have_copies(services: dict[str, Any], name: str) -> None:
    """No port of the host, no name, and no volume that two would share but the folders of exports and of keys."""
    service = services[name]
    assert not service.get("ports")
    assert not service.get("container_name")
    assert {volume.get("source", "exports") for volume in service.get("volumes", [])} <= {"exports", "keys"}


def test_every_service_of_ours_is_hardened(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        if name not in {"kafka", "postgres"}:  # their images write to their own folders
            assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True), name


def test_what_a_service_writes_is_in_a_volume(services: dict[str, Any]) -> None:
    """Every path below /data in a command or setting, of a container that is read-only elsewhere."""
    for name, service in services.items():
        told = [*(service.get("command") or []), *map(str, (service.get("environment") or {}).values())]
        if any(text.startswith("/data") for text in told):
            assert "/data" in {volume["target"] for volume in service["volumes"]}, name


def test_env_file_has_every_secret_that_is_random(tmp_path: Path) -> None:
    """Not who the host is and where its certificates are: Compose names these."""
    command = [sys.executable, "-m", "deploy.write_env", tmp_path / "env", "--compose"]
    subprocess.run(command, cwd=ROOT, check=True)
    written = dict(line.split("=", 1) for line in (tmp_path / "env").read_text("utf-8").splitlines())
    assert set(SECRETS) - set(written) == {"RAPPORT_HOST", "CERTIFICATES"}
    run = compose(**written, RAPPORT_HOST="features.example.org", CERTIFICATES="/etc/certificates")
    assert run.returncode == 0, run.stderr


def test_every_service_except_the_jobs_restarts(services: dict[str, Any]) -> None:
    jobs = {name for name, service in services.items() if service["restart"] == "no"}
    assert jobs == {"migrate", "topics"}
