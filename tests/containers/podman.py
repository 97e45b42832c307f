"""Podman with a storage, a configuration and a service of its own: nothing of the machine's own is used or changed."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from devservers.waiting import eventually
from tests.containers.standins import StandIn

INIT = "/usr/bin/catatonit"
NETWORK_PROGRAMS = ("netavark", "aardvark-dns")
HELPERS = ("/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman")
# crun does not start where the control groups are of both versions, and no limit can be raised in a virtual machine.
# Short names are those of local images: no registry is asked.
CONFIGURATION = f"""\
[containers]
default_ulimits = []
pids_limit = 0
init_path = "{INIT}"
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
compat_api_enforce_docker_hub = false
[network]
network_backend = "netavark"
"""
LABEL = "stand-in"
COMMAND_S = 600


def missing() -> list[str]:
    """What this machine lacks to run containers."""
    lacking = [name for name in ("podman", "runc", "conmon", "iptables") if not shutil.which(name)]
    lacking += [name for name in NETWORK_PROGRAMS if not any((Path(folder) / name).exists() for folder in HELPERS)]
    lacking += [] if Path(INIT).exists() else ["catatonit"]
    return lacking if os.geteuid() == 0 else [*lacking, "root's rights"]


@dataclass
class Podman:
    """One podman. ``storage`` keeps images from run to run; ``running`` has what lasts as long as the service."""

    storage: Path
    service: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    api: httpx.Client = field(init=False)

    def start(self) -> None:
        """Start the service that docker-compose talks to."""
        for folder in (self.storage, self.running, self.running / "networks"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.running / "containers.conf").write_text(CONFIGURATION)
        self.remove_all()
        with (self.running / "service.log").open("ab") as log:
            command = self.command("system", "service", "--time", "0", f"unix://{self.socket}")
            self.service = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self.api = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://podman/v4.0.0/libpod", timeout=60
        )
        eventually(self._answers, "podman's service answers")

    def stop(self) -> None:
        """Stop and remove every container, network and volume, end the service, and unmount."""
        try:
            self.remove_all()
        finally:
            if self.service is not None:
                self.api.close()
                self.service.send_signal(signal.SIGTERM)
                self.service.wait(60)
            unmount_below(self.running)
            unmount_below(self.storage)
            shutil.rmtree(self.running)

    def remove_all(self) -> None:
        """Remove all containers, those of a run that was killed too, and what was made for them."""
        self.run("rm", "--all", "--force", "--time", "0")
        self.run("volume", "prune", "--force")
        self.run("network", "prune", "--force")

    @property
    def running(self) -> Path:
        """A short path, since sockets are below it, and always the same: podman remembers it in its storage."""
        number = hashlib.sha256(str(self.storage).encode()).hexdigest()[:8]
        return Path(tempfile.gettempdir()) / f"rapport-podman-{number}"

    @property
    def socket(self) -> Path:
        return self.running / "podman.sock"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONTAINERS_CONF": str(self.running / "containers.conf")}

    def command(self, *arguments: str | Path) -> list[str]:
        """Command line of podman."""
        where = {
            "root": self.storage,
            "runroot": self.running / "run",
            "tmpdir": self.running / "tmp",
            "network-config-dir": self.running / "networks",
        }
        return ["podman", *(f"--{name}={path}" for name, path in where.items()), *map(str, arguments)]

    def run(self, *arguments: str | Path) -> str:
        """Output of a podman command. Fails with what it said."""
        done = subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=COMMAND_S
        )
        assert done.returncode == 0, f"podman {' '.join(map(str, arguments))}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def add_stand_in(self, made: StandIn) -> None:
        """Make an image, unless the storage has it from the same files."""
        fingerprint, name = made.fingerprint(), f"localhost/{made.name}"
        filters = [f"--filter={text}" for text in (f"reference={name}", f"label={LABEL}={fingerprint}")]
        if self.run("images", "--quiet", *filters).strip():
            return
        changes = [f"--change={change}" for change in (*made.configuration, f"LABEL {LABEL}={fingerprint}")]
        command = self.command("import", "--quiet", *changes, "-", name)
        with subprocess.Popen(
            command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin
            assert process.stderr
            with contextlib.suppress(BrokenPipeError):  # podman has ended, and says why
                made.files.write(process.stdin)
                process.stdin.close()
            said = process.stderr.read().decode()
        assert process.returncode == 0, said

    def build(self, dockerfile: Path, context: Path, name: str, volumes: Sequence[str] = ()) -> None:
        """Build an image from local images only, with volumes that are mounted while it is built."""
        options = [f"--volume={volume}" for volume in volumes]
        self.run(
            "build", "--quiet", "--pull-never", "--layers=false", "--network=host", *options,
            f"--file={dockerfile}", f"--tag={name}", context,
        )  # fmt: skip

    def inspect(self, container: str) -> dict[str, Any]:
        answer = self.api.get(f"/containers/{container}/json")
        return answer.json() if answer.status_code == 200 else {}

    def containers(self) -> list[dict[str, Any]]:
        """All containers, as they are listed."""
        return list(self.api.get("/containers/json", params={"all": "true"}).raise_for_status().json())

    def is_healthy(self, container: str) -> bool:
        """Run a container's health check now: without systemd nothing else does."""
        answer = self.api.get(f"/containers/{container}/healthcheck")
        return answer.status_code == 200 and answer.json().get("Status") == "healthy"

    def log(self, container: str, lines: int = 30) -> str:
        """The last lines of a container's output."""
        done = subprocess.run(
            self.command("logs", "--tail", str(lines), container),
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=COMMAND_S,
        )  # fmt: skip
        return done.stdout

    def _answers(self) -> bool:
        assert self.service
        assert self.service.poll() is None, (self.running / "service.log").read_text()
        return self.socket.exists()


def unmount_below(folder: Path) -> None:
    """Unmount what is still mounted in a folder, the innermost first."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for path in sorted((path for path in mounted if Path(path).is_relative_to(folder)), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", path], check=True)
