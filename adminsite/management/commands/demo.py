"""Command of `make demo`: runs every process on this machine until Ctrl-C."""

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
from adminsite.demo.environment import (
    ENVIRONMENT,
    FOLDER,
    LOGS,
    DemoError,
    create_database,
    empty_folder,
    environment_variables,
)
from adminsite.demo.processes import process_manager
from adminsite.demo.servers import ServerAddresses, running_servers
from adminsite.demo.startup import first_unmet, instructions, ready_conditions
from devservers.ports import free_port
from devservers.server import DidNotStart
from featurestore.config import ROOT

READY_TIMEOUT_S = 120


class Command(BaseCommand):
    help = "Run everything on this machine, with a simulated shop. It starts empty each time: var/demo is deleted."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of API and administration")
        parser.add_argument("--sse-port", type=int, default=8002, help="port of event streams")
        parser.add_argument("--rate", type=float, default=20, help="actions of the shop a second")

    def handle(self, *args: Any, port: int, sse_port: int, rate: float, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            with empty_folder():
                require_free("--port", port)
                require_free("--sse-port", sse_port)
                with running_servers(FOLDER) as servers:
                    self.run(servers, port, sse_port, rate)
        except (DemoError, DidNotStart) as error:
            raise CommandError(str(error)) from error
        self.stdout.write("Stopped.")

    def run(self, servers: ServerAddresses, port: int, sse_port: int, rate: float) -> None:
        url, sse_url, health_port = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sse_port}", free_port()
        environment = environment_variables(servers, health_port)
        self.stdout.write("Creating the database ...")
        credentials = create_database(environment, url)
        processes, stop = process_manager(environment, FOLDER, port, sse_port, rate), threading.Event()
        health_url = f"http://127.0.0.1:{health_port}"
        arguments = processes, credentials, sse_url, health_url, stop
        printer = threading.Thread(target=self.print_instructions, args=arguments)
        self.stdout.write("Starting the processes ...")
        printer.start()
        processes.loop()
        stop.set()
        printer.join()

    def print_instructions(
        self, processes: Manager, credentials: Credentials, sse_url: str, health_url: str, stop: threading.Event
    ) -> None:
        missing = first_unmet(ready_conditions(credentials, sse_url, health_url), READY_TIMEOUT_S, stop)
        if missing is None:
            files = str(ENVIRONMENT.relative_to(ROOT)), str(LOGS.relative_to(ROOT))
            self.stdout.write(instructions(credentials, sse_url, *files))
        elif not stop.is_set():
            self.stderr.write(f"Not ready within {READY_TIMEOUT_S} s: {missing}. Logs are in {LOGS}.")
            os.kill(os.getpid(), signal.SIGTERM)  # which honcho handles


def require_free(option: str, port: int) -> None:
    """Raises CommandError if another program listens on the port that an option names."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            hint = f'make demo ARGS="{option} {port + 10}"'
            raise CommandError(f"Port {port} is taken: stop what uses it, or take another: {hint}") from error
