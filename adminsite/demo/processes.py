"""Processes of the demo, run by honcho: each one's output goes to a file, the simulator's also to the screen."""

import shlex
import sys
from pathlib import Path

from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Message, Printer

from featurestore.config import ROOT

SHOWN = "simulator"
CELERY = "-m celery --app adminsite"
CELERY_WORKER = f"{CELERY} worker --loglevel WARNING --concurrency 2"
STOPPED = " stopped (rc="


class LogPrinter(Printer):
    """Writes each process's lines to its file; shows the simulator's, and when a process ends unexpectedly."""

    def __init__(self, folder: Path) -> None:
        super().__init__(sys.stdout)
        self.folder, self.stopping = folder, False

    def write(self, message: Message) -> None:
        text = message.data.decode(errors="replace") if isinstance(message.data, bytes) else message.data
        with (self.folder / f"{message.name}.log").open("a", encoding="utf-8") as file:
            file.write(text)
        if message.name == SHOWN:
            self.show(text)
        elif message.name == SYSTEM_PRINTER_NAME and not self.stopping:
            if " received" in text:
                self.stopping = True
                self.show("\nStopping ...\n")
            elif STOPPED in text:
                self.stopping = True
                name = text.partition(STOPPED)[0]
                self.show(f"\n{name} ended, so everything is stopped. Its output is in {self.folder / name}.log\n")

    def show(self, text: str) -> None:
        self.output.write(text)
        self.output.flush()


def process_manager(environment: dict[str, str], folder: Path, port: int, sse_port: int, rate: float) -> Manager:
    """Manager of all processes, which ``loop()`` starts."""
    python = shlex.quote(sys.executable)
    manager = Manager(LogPrinter(folder / "logs"))
    for name, command in {
        "api": f"-m adminsite.serve --port {port}",
        "sse": f"-m adminsite.sse --port {sse_port}",
        "celery": f"{CELERY_WORKER} --queues celery --hostname celery@%h",
        "celery-urgent": f"{CELERY_WORKER} --queues celery-urgent --hostname urgent@%h",
        "beat": f"{CELERY} beat --loglevel WARNING --schedule {shlex.quote(str(folder / 'beat'))}",
        "store-verifier": "-m adminsite verify_store",
        SHOWN: f"-m adminsite.demo.simulator {shlex.quote(str(folder / 'credentials.json'))} --rate {rate}",
    }.items():
        manager.add_process(name, f"exec {python} {command}", env=environment, cwd=str(ROOT))
    # A stream worker ends at an error and expects to be restarted.
    restarting = f"while true; do {python} -m streams worker; sleep 1; done"
    manager.add_process("streams", restarting, env=environment, cwd=str(ROOT))
    return manager
