"""Everything on this machine: `make demo`. Ctrl-C stops it all."""

import os
import signal
import socket
import sys
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from honcho.manager import Manager

from adminsite.demo.credentials import Credentials
from adminsite.demo.environment import ENVIRONMENT, FOLDER, LOGS, DemoError, environment_of, fresh_folder, seed
from adminsite.demo.processes import manager
from adminsite.demo.servers import ServerError, Servers, servers
from adminsite.demo.startup import awaited, wait, welcome
from devservers.ports import free_port
from devservers.server import DidNotStart
from featurestore.config import ROOT

READY_TIMEOUT_S = 120


class Command(BaseCommand):
    help = "Run everything on this machine, with a simulated shop. Begins anew each time: var/demo is emptied."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="of API and administration")
        parser.add_argument("--sse-port", type=int, default=8002, help="of event streams")
        parser.add_argument("--rate", type=float, default=20, help="what the shop does in a second")

    def handle(self, *args: Any, port: int, sse_port: int, rate: float, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            with fresh_folder():
                require_free("--port", port)
                require_free("--sse-port", sse_port)
                with servers(FOLDER) as running:
                    self.run(running, port, sse_port, rate)
        except (DemoError, DidNotStart, ServerError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Stopped.")

    def run(self, running: Servers, port: int, sse_port: int, rate: float) -> None:
        url, sse_url, health_port = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sse_port}", free_port()
        environment = environment_of(running, health_port)
        self.stdout.write("Preparing the database ...")
        known = seed(environment, url)
        processes, stop = manager(environment, FOLDER, port, sse_port, rate), threading.Event()
        health_url = f"http://127.0.0.1:{health_port}"
        guide = threading.Thread(target=self.guide, args=(processes, known, sse_url, health_url, stop))
        self.stdout.write("Starting the processes ...")
        guide.start()
        processes.loop()
        stop.set()
        guide.join()

    def guide(
        self, processes: Manager, known: Credentials, sse_url: str, health_url: str, stop: threading.Event
    ) -> None:
        missing = wait(awaited(known, sse_url, health_url), READY_TIMEOUT_S, stop)
        if missing is None:
            self.stdout.write(welcome(known, sse_url, str(ENVIRONMENT.relative_to(ROOT)), str(LOGS.relative_to(ROOT))))
        elif not stop.is_set():
            self.stderr.write(f"{missing} has not come within {READY_TIMEOUT_S} s. Logs are in {LOGS}.")
            os.kill(os.getpid(), signal.SIGTERM)  # as honcho wants to hear it


def require_free(option: str, port: int) -> None:
    """Raises CommandError where another program listens on the port that an option names."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            hint = f'make demo ARGS="{option} {port + 10}"'
            raise CommandError(f"Port {port} is taken: stop what uses it, or take another: {hint}") from error
