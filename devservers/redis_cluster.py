"""A local Redis Cluster: three primaries with a replica each, and a short fail-over."""

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
NODE_TIMEOUT_MS = 1500  # silence after which the others vote; longer than the pauses of a busy machine
START_TIMEOUT_S = 30
BUS_OFFSET = 10_000  # from a server's port to its cluster bus port


@dataclass
class RedisCluster:
    """``servers`` are first the primaries, then their replicas in the same order; fail-overs change the roles."""

    folder: Path
    program: str = field(default_factory=lambda: executable() or "")
    servers: list[RedisServer] = field(default_factory=list, init=False)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers) + "/"

    def start(self) -> None:
        """Start, and return when every slot is served and every replica is in sync."""
        options = (
            "--cluster-enabled yes --cluster-require-full-coverage no --cluster-replica-validity-factor 0 "
            f"--cluster-node-timeout {NODE_TIMEOUT_MS} --repl-diskless-sync-delay 0 --repl-ping-replica-period 1"
        )
        for number in range(2 * PRIMARIES):
            folder = self.folder / f"redis-{number}"
            server = RedisServer(folder, free_cluster_port(), options=tuple(options.split()), program=self.program)
            self.servers.append(server)
            server.start()
        first, *others = self.servers
        for number, server in enumerate(self.servers[:PRIMARIES]):
            slots = range(number * SLOTS // PRIMARIES, (number + 1) * SLOTS // PRIMARIES)
            execute(server, "CLUSTER ADDSLOTS", *slots)
        for epoch, server in enumerate(self.servers, 1):
            execute(server, "CLUSTER SET-CONFIG-EPOCH", epoch)
        for server in others:
            execute(server, "CLUSTER MEET", "127.0.0.1", first.port)
        self._wait_until(
            lambda server: parsed_info(server, "CLUSTER INFO")["cluster_known_nodes"] == str(2 * PRIMARIES)
        )
        for primary, replica in zip(self.servers, self.servers[PRIMARIES:], strict=False):
            execute(replica, "CLUSTER REPLICATE", execute(primary, "CLUSTER MYID"))
        self._wait_until(self._in_sync)

    def stop(self) -> None:
        for server in self.servers:
            server.kill()  # its data is not needed

    def _in_sync(self, server: RedisServer) -> bool:
        replication = parsed_info(server, "INFO", "replication")
        linked = replication["role"] == "master" or replication["master_link_status"] == "up"
        replicas = [row for row in execute(server, "CLUSTER SLOTS") if len(row) == 4]
        state = parsed_info(server, "CLUSTER INFO")["cluster_state"]
        return linked and len(replicas) == PRIMARIES and state == "ok"

    def _wait_until(self, condition: Callable[[RedisServer], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(condition(server) for server in self.servers):
            if time.monotonic() > deadline:
                self.stop()
                raise DidNotStart(f"The cluster did not form; its servers' output is in {self.folder}")
            time.sleep(0.05)


def execute(server: RedisServer, command: str, *arguments: object) -> Any:
    """The raw answer of one server to a command; redirections are not followed."""
    with Redis(port=server.port, socket_timeout=2, decode_responses=True) as client:
        client.response_callbacks.clear()  # raw answers
        return client.execute_command(*command.split(), *arguments)


def parsed_info(server: RedisServer, command: str, *arguments: object) -> dict[str, str]:
    """The fields of an answer of ``name:value`` lines."""
    text = str(execute(server, command, *arguments))
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def free_cluster_port() -> int:
    """A free port whose bus port is free too."""
    while not is_free((port := free_port()) + BUS_OFFSET):
        pass
    return port
