"""Faults of processes and servers that end, of the broker's network, and of full disks."""

import threading
import time
from collections.abc import Iterator

import psycopg

from devservers.waiting import eventually
from tests.chaos.disturbance import Disturb, Disturbance, FaultContext
from tests.chaos.servers import BROKER, DATABASE, STORE

SEGMENTS = 8  # of the database's log: more than it keeps for reuse


def killed(name: str, *, purges: bool = False) -> Disturb:
    """SIGKILL of one process, which its supervisor restarts."""

    def disturb(context: FaultContext) -> Iterator[Disturbance]:
        context.env.processes[name].kill()
        yield Disturbance(purges=purges)

    return disturb


def worker_and_store_killed(context: FaultContext) -> Iterator[Disturbance]:
    worker = context.worker()
    worker.process.kill()
    context.env.processes[STORE].kill()
    yield Disturbance()


def broker_unreachable(context: FaultContext) -> Iterator[Disturbance]:
    """No byte passes between it and its clients for a while; then what was sent meanwhile arrives."""
    proxy = context.env.servers.broker_proxy
    proxy.cut()
    disturbance = Disturbance()
    threading.Timer(context.outage_s, proxy.restore).start()
    yield disturbance


def broker_disk_full(context: FaultContext) -> Iterator[Disturbance]:
    """Kafka ends, as it can't write; with space it starts again."""
    disk, process = context.env.servers.disks[BROKER], context.env.processes[BROKER]
    disk.fill()
    disturbance = Disturbance()
    try:
        eventually(lambda: not process.running or is_over(disturbance, context), "Kafka ended, or the outage is over")
        process.hold()
    finally:
        disk.free()
    process.release()
    yield disturbance


def database_disk_full(context: FaultContext) -> Iterator[Disturbance]:
    """Transactions fail, and perhaps PostgreSQL ends; with space it recovers."""
    disk = context.env.servers.disks[DATABASE]
    disk.fill()
    disturbance = Disturbance(purges=True)
    try:
        use_up_log(context.env.servers.database.url)
        while not is_over(disturbance, context):
            time.sleep(0.1)
    finally:
        disk.free()
    yield disturbance


def use_up_log(url: str) -> None:
    """Begin segments of the database's write-ahead log, until it can't."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(SEGMENTS):
                connection.execute("SELECT pg_switch_wal(), pg_logical_emit_message(false, 'chaos', 'x')")
    except psycopg.Error as error:
        print(f"  the database's disk is full: {str(error).splitlines()[0]}", flush=True)


def is_over(disturbance: Disturbance, context: FaultContext) -> bool:
    return time.monotonic() > disturbance.at + context.outage_s
