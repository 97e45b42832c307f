"""A local nginx in front of web processes, with the configuration of a test."""

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from devservers.ports import free_port
from devservers.server import DidNotStart, Server

START_TIMEOUT_S = 10


def executable() -> str | None:
    """Path of an nginx; None without any."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@dataclass
class NginxServer(Server):
    """One nginx with its files in ``folder``. Its ``configuration`` must have it listen at ``port``."""

    folder: Path
    configuration: str = ""
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start, and return when the port is open."""
        if (program := executable()) is None:
            raise DidNotStart("No nginx: install it.")
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "nginx.conf"
        configuration.write_text(self.configuration, "utf-8")
        output = self.folder / "output.log"
        with output.open("ab") as log:
            files = ["-p", str(self.folder), "-e", str(self.folder / "error.log"), "-c", str(configuration)]
            self.process = subprocess.Popen(
                [program, *files, "-g", "daemon off;"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.kill()
        raise DidNotStart(f"nginx did not listen at port {self.port}; its output is in {output}")
