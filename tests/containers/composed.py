"""The services of docker-compose.yml in containers, and a chat engine that reads through the proxy."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx

from devservers.certificates import Authority
from devservers.ports import free_port
from devservers.waiting import eventually
from featurestore.config import ROOT
from tests.containers.podman import Podman
from tests.kit.loopback import ToLoopback

HOST, PASSWORD = "features.example.org", "correct horse battery staple"
PROXY_USER = 101
LEFT_OUT = "grafana"
"""No stand-in: this machine has none. Its provisioning and dashboards are checked as files (tests/deploy)."""
RECOVERY_S, UP_S = 300.0, 1200.0
STARTING_CHECK_S, NANOSECONDS = 1.0, 1_000_000_000
CUSTOMER, FEATURE, VIEW = "C1", "customer_messages_1d", "dialogue"
QUERY = {"service": "support_chat", "purpose": "service", "customer_id": CUSTOMER, "features": [FEATURE]}
UNANSWERED = {502, 503, 504}
"""Of a read while something is down: the proxy reaches no API, or the API no store or database."""
SEED = f"""
from django.contrib.auth import get_user_model
from django.core.management import call_command
from featurestore.access.scopes import Scope
from featurestore.access.services import create_client, create_key
from featurestore.installed_catalog import catalog
call_command("seed", verbosity=0)
get_user_model().objects.create_superuser("petra", password={PASSWORD!r})
client = create_client("bot", owner="tests", actor="tests")
services, purposes = list(catalog().registry.services), [purpose.name for purpose in catalog().purposes]
print(create_key(client, actor="tests", services=services, purposes=purposes, scopes=list(Scope))[1])
"""
T = TypeVar("T")


class Answer(NamedTuple):
    """A read's answer: the view's status, and the feature's value."""

    status: str
    value: int | None


@dataclass
class Composed:
    """The running services. Of the ``sent`` messages ``counted`` were read before."""

    podman: Podman
    folder: Path
    public_port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    key: str = ""
    sent: int = 0
    counted: int = 0
    due_s: dict[str, float] = field(default_factory=dict)
    """When a container's health is checked next."""

    def __post_init__(self) -> None:
        self.authority = Authority(self.folder / "authority")
        identity = self.authority.identity("server", HOST)
        certificates = self.folder / "certificates"
        certificates.mkdir()
        for source, name in ((identity.certificate, "server.pem"), (identity.key, "server.key")):
            (certificates / name).write_bytes(source.read_bytes())
            (certificates / name).chmod(0o400)
            os.chown(certificates / name, PROXY_USER, PROXY_USER)
        for folder in (certificates, *certificates.parents):  # pytest's folders are their user's alone
            if folder.is_relative_to(self.folder):
                folder.chmod(0o755)
        secrets = self.folder / "secrets"
        subprocess.run([sys.executable, "-m", "deploy.write_env", secrets, "--compose"], cwd=ROOT, check=True)
        self.variables = dict(line.split("=", 1) for line in secrets.read_text("utf-8").splitlines())
        self.variables |= {
            "RAPPORT_HOST": HOST,
            "CERTIFICATES": str(certificates),
            "PUBLIC_LISTEN": f"127.0.0.1:{self.public_port}",
            "ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
        }
        self.services = [name for name in self.compose("config", "--services").split() if name != LEFT_OUT]
        self.engine = self.client(self.public_port)

    # ------------------------------------------------------------------------------------------------------- containers
    def compose(self, *arguments: str | Path, **variables: str) -> str:
        """Output of docker-compose with our unmodified file."""
        with self._compose(*arguments, **variables) as process:
            output, errors = process.communicate(timeout=UP_S)
        assert process.returncode == 0, f"docker-compose {' '.join(map(str, arguments))}:\n{errors}\n{self.logs()}"
        return output

    def up(self, *options: str) -> None:
        """Start all services, and return when docker-compose does; it waits for those that others depend on."""
        with self._compose("up", "--detach", "--no-build", "--pull", "never", *options, *self.services) as process:
            deadline = time.monotonic() + UP_S
            while process.poll() is None and time.monotonic() < deadline:
                self.check_health()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.5)
            process.kill()
            _, errors = process.communicate()
        assert process.returncode == 0, f"{errors}\n{self.logs()}"

    def _compose(self, *arguments: str | Path, **variables: str) -> "subprocess.Popen[str]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
        environment |= self.variables | variables
        environment |= {"DOCKER_HOST": f"unix://{self.podman.socket}", "COMPOSE_DISABLE_ENV_FILE": "1"}
        command = [Path(sys.executable).parent / "docker-compose", "--progress", "plain", *map(str, arguments)]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def containers(self, service: str) -> list[dict[str, Any]]:
        """The running containers of a service."""
        listed = self.podman.containers()
        return [
            found
            for found in listed
            if found["Labels"].get("com.docker.compose.service") == service and found["State"] == "running"
        ]

    def check_health(self) -> None:
        """Run the checks of containers that are not healthy yet: without systemd podman does not.

        During a container's start period, when failures do not count, every second; then at the check's own interval.
        """
        for found in self.podman.containers():
            now_s, container = time.time(), found["Id"]
            if found["State"] != "running" or "starting" not in found["Status"] or now_s < self.due_s.get(container, 0):
                continue
            check = self.podman.inspect(container)["Config"]["Healthcheck"]
            starting = now_s - found["StartedAt"] < check["StartPeriod"] / NANOSECONDS - STARTING_CHECK_S
            self.due_s[container] = now_s + (STARTING_CHECK_S if starting else check["Interval"] / NANOSECONDS)
            self.podman.is_healthy(container)

    def unhealthy(self) -> list[str]:
        """Services that do not run, or whose own health check fails now."""
        return [name for name in self.services if name not in {"migrate", "topics"} and not self.is_well(name)]

    def is_well(self, service: str) -> bool:
        """Whether every container of a service runs, and is healthy by its own check, if it has one."""
        found = self.containers(service)
        return bool(found) and all(
            not self.podman.inspect(each["Id"])["Config"].get("Healthcheck") or self.podman.is_healthy(each["Id"])
            for each in found
        )

    def kill(self, service: str) -> Callable[[], bool]:
        """Kill the processes of one container; whether another process of it runs again."""
        container = self.containers(service)[0]["Id"]
        killed = int(self.podman.inspect(container)["State"]["Pid"])
        os.kill(killed, signal.SIGKILL)

        def runs_again() -> bool:
            state = self.podman.inspect(container)["State"]
            return bool(state["Running"]) and state["Pid"] not in {0, killed}

        return runs_again

    def address(self, service: str) -> str:
        """The address of a service's first container, in the network of the containers."""
        (network,) = self.podman.inspect(self.containers(service)[0]["Id"])["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def logs(self) -> str:
        """The end of each container's output."""
        return "\n".join(
            f"--- {found['Names'][0]} ({found['Status']}):\n{self.podman.log(found['Id'], 12)}"
            for found in self.podman.containers()
        )

    def until(self, happens: Callable[[], T], what: str, within_s: float = RECOVERY_S) -> T:
        """As eventually; a failure shows the logs."""
        try:
            return eventually(happens, what, within_s, every_s=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    # ----------------------------------------------------------------------------------------------------- chat engine
    def client(self, port: int) -> httpx.Client:
        """A client of the proxy, which trusts the authority alone."""
        trusted = ssl.create_default_context(cafile=str(self.authority.file))
        return httpx.Client(transport=ToLoopback(trusted), base_url=f"https://{HOST}:{port}", timeout=30)

    def seed(self) -> None:
        """Purposes, a notice, roles, a superuser, a key; a customer who consents."""
        output = self.compose("run", "--rm", "--no-deps", "-T", "admin", "python", "manage.py", "shell", "-c", SEED)
        self.key = output.split()[-1]
        self.engine.headers["Authorization"] = f"Bearer {self.key}"
        self.until(lambda: self.post("/v1/services", method="GET").status_code == 200, "the key is known")
        self.post("/v1/customers", {"customer_id": CUSTOMER, "region": "EU", "brand": "lamp"})
        decision = {"purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
        answer = self.post("/v1/consents", {"customer_id": CUSTOMER, **decision})
        assert answer.status_code in {201, 202}, answer.text
        since_s = datetime.fromisoformat(answer.json()["since"]).timestamp()
        eventually(lambda: time.time() > since_s, "the consent is in effect")

    def post(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> httpx.Response:
        """An answer of the API; 502 where the proxy itself is away."""
        try:
            return self.engine.request(method, path, json=body)
        except httpx.TransportError:
            return httpx.Response(502)

    def send_message(self) -> None:
        """Send one more message, again and again under the same id until it is accepted."""
        self.sent += 1
        message = {
            "source": "chat",
            "customer_id": CUSTOMER,
            "id": f"m{self.sent}",
            "time": datetime.now(UTC).isoformat(),
            "data": {"author": "customer", "conversation_id": "c1"},
        }
        self.until(lambda: self.is_accepted(message), f"message {self.sent} is accepted")

    def is_accepted(self, message: dict[str, Any]) -> bool:
        answer = self.post("/v1/events", {"events": [message]})
        if answer.status_code != 202:
            return False
        (result,) = answer.json()["results"]
        assert result["status"] in {"accepted", "duplicate"}, result
        return True

    def read(self) -> Answer | None:
        """A read's answer, which must be right; None while nothing is answered."""
        answer = self.post("/v1/features", QUERY)
        if answer.status_code in UNANSWERED:
            return None
        assert answer.status_code == 200, answer.text
        status, value = answer.json()["views"][VIEW]["status"], answer.json()["features"][FEATURE]
        self.refuse_wrong(answer.json(), status, value)
        return Answer(status, value)

    def refuse_wrong(self, answer: dict[str, Any], status: str, value: int | None) -> None:
        """What must hold at any moment: a shown value is right, and nothing is shown of a withheld view."""
        right = range(self.counted, self.sent + 1)
        if status == "withheld":
            assert value is None, answer
        elif status == "stale":  # while values are pushed to an emptied store there is none
            assert value is None or value in right, answer
        else:
            assert status == "present" or self.counted == 0, answer
            assert value in right or self.counted == 0, answer

    def settle(self) -> None:
        """Wait until every message is counted in a present view: all parts of a read work."""
        self.until(lambda: self.read() == Answer("present", self.sent), f"{self.sent} messages are read")
        self.counted = self.sent

    # ------------------------------------------------------------------------------------------------------ Prometheus
    def scraped(self) -> Counter[tuple[str, str]]:
        """Number of Prometheus's targets by job and health."""
        answer = self.ask_prometheus("targets", state="active")
        return Counter((target["labels"]["job"], target["health"]) for target in answer.get("activeTargets", []))

    def alertmanagers(self) -> int:
        """Number of Alertmanagers that Prometheus sends to."""
        return len(self.ask_prometheus("alertmanagers").get("activeAlertmanagers", []))

    def ask_prometheus(self, what: str, **parameters: str) -> dict[str, Any]:
        try:
            answer = httpx.get(f"http://{self.address('prometheus')}:9090/api/v1/{what}", params=parameters)
            return dict(json.loads(answer.content)["data"])
        except (httpx.TransportError, IndexError, KeyError, ValueError):
            return {}
