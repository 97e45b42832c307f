"""A local nginx in front of web processes, with the configuration of a test or page."""

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from devservers.ports import free_port
from devservers.server import DidNotStart, Server

START_TIMEOUT_S = 10
CONFIGURATION = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
"""


def executable() -> str | None:
    """Path of an nginx; None without any."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@dataclass
class NginxServer(Server):
    """One nginx with its files in ``folder``. ``http`` is what its http block holds; it must listen at ``port``."""

    folder: Path
    http: str = ""
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def start(self) -> None:
        """Start, and return when the port is open."""
        if (program := executable()) is None:
            raise DidNotStart("No nginx: install it.")
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, http=self.http))
        output = self.folder / "output.log"
        with output.open("ab") as log:
            self.process = subprocess.Popen(
                [program, "-p", str(self.folder), "-e", str(self.folder / "error.log"), "-c", str(configuration)],
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
