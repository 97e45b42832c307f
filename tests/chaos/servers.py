"""Real servers of a chaos run: Kafka, two Redis, PostgreSQL, with proxies and disks of their own for faults."""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from devservers.kafka.broker import Broker
from devservers.postgres_server import PostgresServer
from devservers.redis_server import RedisServer
from devservers.server import Server
from tests.chaos.proxy import Proxy
from tests.chaos.small_disk import SmallDisk, missing_right_to_mount
from tests.chaos.supervisor import SupervisedProcess

BROKER, STORE, CONTROL, DATABASE = "kafka", "store", "control", "database"


class Servers:
    """The servers, supervised. The ``database`` may be replaced by another one, at the same address.

    ``plain``: no proxies and no disks. ``disks`` is empty too where the machine has none.
    """

    def __init__(self, folder: Path, *, plain: bool) -> None:
        self.plain, self._closing = plain, ExitStack()  # of proxies, disks and folders
        self.processes: dict[str, SupervisedProcess] = {}
        self.disks: dict[str, SmallDisk] = {}
        self.broker = Broker(folder / BROKER, short_lived=True)
        self.store = RedisServer(folder / STORE, durable=True)  # a restart keeps its data: the harder case
        self.control, self.database = RedisServer(folder / CONTROL, durable=True), PostgresServer()
        self._closing.callback(shutil.rmtree, self.database.folder)
        self.kafka_address = f"127.0.0.1:{self.broker.port}"
        self.database_url = self.database.url

    def start(self) -> None:
        if not self.plain:
            self._interpose()
        for name, server in {BROKER: self.broker, STORE: self.store, CONTROL: self.control}.items():
            self.processes[name] = SupervisedProcess(name, lambda server=server: started(server))
        self.processes[DATABASE] = SupervisedProcess(DATABASE, lambda: started(self.database))

    def stop(self) -> None:
        """Stop the servers, then unmount their disks. They are supervised no more."""
        for server in (self.broker, self.store, self.control, self.database):
            server.stop()
        self._closing.close()

    def _interpose(self) -> None:
        """Put proxies before broker and database, and both on disks of their own."""
        self.broker_proxy = self.proxy_of(self.broker.port)
        self.broker.advertised_port = self.broker_proxy.port
        self.kafka_address = f"127.0.0.1:{self.broker_proxy.port}"
        self.database_proxy = self.proxy_of(self.database.port)
        self.database_url = self.database.url.replace(f":{self.database.port}", f":{self.database_proxy.port}")
        if not missing_right_to_mount():
            self._mount(BROKER, self.broker.logs)
            self._mount(DATABASE, data_of(self.database))
            if os.getuid() == 0:
                shutil.chown(data_of(self.database), "postgres", "postgres")

    def proxy_of(self, port: int) -> Proxy:
        """A proxy before a port, until the end of the run."""
        proxy = Proxy(port)
        proxy.start()
        self._closing.callback(proxy.stop)
        return proxy

    def replace_database(self, other: PostgresServer) -> None:
        """Kill the database, and let another one, not started, answer at its address; return when it does."""
        self._closing.callback(shutil.rmtree, other.folder)
        process = self.processes[DATABASE]
        process.kill_and_hold()
        if DATABASE in self.disks:
            data = data_of(other)
            copy = data.rename(data.with_name("copy"))
            self._mount(DATABASE, data)
            subprocess.run(["cp", "--archive", f"{copy}/.", data], check=True)
            shutil.rmtree(copy)
        self.database = other
        self.database_proxy.target_port = other.port
        process.release()

    def _mount(self, name: str, folder: Path) -> None:
        disk = SmallDisk(folder)
        disk.mount()
        self._closing.callback(disk.unmount)
        self.disks[name] = disk


def data_of(database: PostgresServer) -> Path:
    return database.folder / "data"


def started(server: Server) -> "subprocess.Popen[bytes]":
    """Start a server; its process."""
    server.start()
    assert server.process
    return server.process
