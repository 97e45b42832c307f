"""A Redis Cluster for tests, on this machine alone: three primaries, a replica each, and a short fail-over."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from devservers.ports import free_port, is_free
from devservers.redis_server import RedisServer, executable
from devservers.server import DidNotStart

PRIMARIES, SLOTS = 3, 16384
NODE_TIMEOUT_MS = 1500  # silence after which the others vote; a busy machine pauses too
FORMED_S = 30
BUS = 10_000  # the cluster's own port lies so far above a server's


@dataclass
class RedisCluster:
    """``servers``: first the primaries, then their replicas in the same order. Fail-overs change who is which."""

    folder: Path
    program: str = field(default_factory=lambda: executable() or "")
    servers: list[RedisServer] = field(default_factory=list, init=False)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers) + "/"

    def start(self) -> None:
        """Start and return when every slot is served and every replica is in step."""
        options = (
            "--cluster-enabled yes --cluster-require-full-coverage no --cluster-replica-validity-factor 0 "
            f"--cluster-node-timeout {NODE_TIMEOUT_MS} --repl-diskless-sync-delay 0 --repl-ping-replica-period 1"
        )
        for number in range(2 * PRIMARIES):
            folder = self.folder / f"redis-{number}"
            server = RedisServer(folder, port_of_cluster(), options=tuple(options.split()), program=self.program)
            self.servers.append(server)
            server.start()
        first, *others = self.servers
        for number, server in enumerate(self.servers[:PRIMARIES]):
            slots = range(number * SLOTS // PRIMARIES, (number + 1) * SLOTS // PRIMARIES)
            ask(server, "CLUSTER ADDSLOTS", *slots)
        for epoch, server in enumerate(self.servers, 1):
            ask(server, "CLUSTER SET-CONFIG-EPOCH", epoch)
        for server in others:
            ask(server, "CLUSTER MEET", "127.0.0.1", first.port)
        self._until(lambda server: information(server, "CLUSTER INFO")["cluster_known_nodes"] == str(2 * PRIMARIES))
        for primary, replica in zip(self.servers, self.servers[PRIMARIES:], strict=False):
            ask(replica, "CLUSTER REPLICATE", ask(primary, "CLUSTER MYID"))
        self._until(self._in_step)

    def stop(self) -> None:
        for server in self.servers:
            server.kill()  # its data is worth nothing

    def _in_step(self, server: RedisServer) -> bool:
        replication = information(server, "INFO", "replication")
        linked = replication["role"] == "master" or replication["master_link_status"] == "up"
        replicas = [row for row in ask(server, "CLUSTER SLOTS") if len(row) == 4]
        state = information(server, "CLUSTER INFO")["cluster_state"]
        return linked and len(replicas) == PRIMARIES and state == "ok"

    def _until(self, true: Callable[[RedisServer], bool]) -> None:
        deadline = time.monotonic() + FORMED_S
        while not all(true(server) for server in self.servers):
            if time.monotonic() > deadline:
                self.stop()
                raise DidNotStart(f"The cluster did not form; its servers' output is in {self.folder}")
            time.sleep(0.05)


def ask(server: RedisServer, command: str, *arguments: object) -> Any:
    """One command to one server, without following anybody elsewhere."""
    with Redis(port=server.port, socket_timeout=2, decode_responses=True) as client:
        client.response_callbacks.clear()  # as the server says it
        return client.execute_command(*command.split(), *arguments)


def information(server: RedisServer, command: str, *arguments: object) -> dict[str, str]:
    """The fields of an answer made of ``name:value`` lines."""
    text = str(ask(server, command, *arguments))
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def port_of_cluster() -> int:
    """A free port whose bus port is free too."""
    while not is_free((port := free_port()) + BUS):
        pass
    return port
