"""Health page and metrics of the Celery worker and of beat, at RAPPORT_HEALTH_PORT.

Tasks run in processes that the Celery worker forks; its main process collects their metrics as one web worker collects
those of the others (featurestore.api.process_metrics), and is alive while its event loop turns.
"""

import os
import shutil
import time
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.signals import beat_init, task_postrun, task_prerun, worker_process_init

from featurestore.api.process_metrics import make_folder, process_metrics, serve_to_other_workers
from featurestore.config import settings
from featurestore.health_server import HealthServer, serve_health
from featurestore.jobs.metrics import SECONDS, TASKS

TURN_S = 1.0
SILENT_S = 30.0
"""An event loop that did not turn for so long hangs, or waits for a control Redis that is away."""


class HealthStep(bootsteps.StartStopStep):
    """Part of the Celery worker's start: the health page, once the task processes have been forked."""

    requires = ("celery.worker.components:Pool",)
    server: HealthServer | None = None
    folder: Path | None = None

    def __init__(self, worker: Any, **_options: Any) -> None:
        self.turned_s = time.monotonic()

    def include_if(self, worker: Any) -> bool:
        return bool(settings().health_port)

    def create(self, worker: Any) -> None:
        """Make the folder of the task processes' sockets, before there are any."""
        self.folder = make_folder()

    def start(self, worker: Any) -> None:
        worker.timer.call_repeatedly(TURN_S, self.turn)
        HealthStep.server = serve_health(settings().health_port, self.is_alive, lambda: process_metrics(os.getpid()))

    def stop(self, worker: Any) -> None:
        if self.server is not None:
            self.server.stop()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    terminate = stop

    def turn(self) -> None:
        self.turned_s = time.monotonic()

    def is_alive(self) -> bool:
        return time.monotonic() - self.turned_s < SILENT_S


def start_in_task_process(**_options: Any) -> None:
    """Serve this process's metrics to the main one; the main one's port is not this one's to hold."""
    if HealthStep.server is not None:
        HealthStep.server.server_close()
    serve_to_other_workers()


def start_in_beat(**_options: Any) -> None:
    serve_health(settings().health_port)


_began_s: dict[str, float] = {}


def note_start(task_id: str, **_options: Any) -> None:
    _began_s[task_id] = time.monotonic()


def count_task(task_id: str, task: Any, state: str | None = None, **_options: Any) -> None:
    TASKS.labels(task.name, state or "UNKNOWN").inc()
    if (began_s := _began_s.pop(task_id, None)) is not None:
        SECONDS.labels(task.name).observe(time.monotonic() - began_s)


def watch(app: Any) -> None:
    """Have the processes of this Celery application serve their health pages and count their tasks."""
    app.steps["worker"].add(HealthStep)
    worker_process_init.connect(start_in_task_process, weak=False)
    beat_init.connect(start_in_beat, weak=False)
    task_prerun.connect(note_start, weak=False)
    task_postrun.connect(count_task, weak=False)
