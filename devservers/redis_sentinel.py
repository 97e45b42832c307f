"""A local Redis primary with a replica, and a Sentinel that fails over; all of them by TLS and with passwords."""

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from redis import ConnectionError, Redis

from devservers.certificates import Authority
from devservers.ports import free_port
from devservers.redis_server import RedisServer
from devservers.server import DidNotStart

SERVICE, PASSWORD, SENTINEL_PASSWORD = "rapport-store", "servers/secret", "sentinels/secret"
START_TIMEOUT_S = 20
CONFIGURATION = """\
port 0
tls-port {port}
tls-cert-file {identity.certificate}
tls-key-file {identity.key}
tls-ca-cert-file {authority}
tls-auth-clients no
tls-replication yes
requirepass {sentinel_password}
sentinel monitor {service} 127.0.0.1 {primary} 1
sentinel auth-pass {service} {password}
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 4000
"""


class TlsRedis(RedisServer):
    """A server of this set; its url is that of a client that trusts the authority."""

    authority: Path

    @property
    def url(self) -> str:
        return f"rediss://:{PASSWORD.replace('/', '%2F')}@127.0.0.1:{self.port}/0?ssl_ca_certs={self.authority}"


@dataclass
class RedisSentinel:
    """``servers``: the primary and its replica; a fail-over changes the roles."""

    folder: Path
    authority: Authority
    port: int = field(default_factory=free_port)
    servers: list[RedisServer] = field(default_factory=list, init=False)
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def url(self, database: int = 0) -> str:
        """The URL by which clients find the primary. The first Sentinel of it does not answer."""
        password, of_sentinel = (text.replace("/", "%2F") for text in (PASSWORD, SENTINEL_PASSWORD))
        return (
            f"rediss+sentinel://:{password}@127.0.0.1:1,127.0.0.1:{self.port}/{SERVICE}/{database}"
            f"?ssl_ca_certs={self.authority.file}&sentinel_password={of_sentinel}"
        )

    def start(self) -> None:
        """Start, and return when the Sentinel knows the replica."""
        identity = self.authority.identity("sentinel", "127.0.0.1")
        certificates = f"--tls-cert-file {identity.certificate} --tls-key-file {identity.key}"
        for number in range(2):
            server = TlsRedis(self.folder / f"redis-{number}")
            server.authority = self.authority.file
            server.options = (
                *("--port", "0", "--tls-port", str(server.port), *certificates.split(), "--tls-auth-clients", "no"),
                *("--tls-ca-cert-file", str(self.authority.file), "--tls-replication", "yes"),
                *("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"),
                *(("--replicaof", f"127.0.0.1 {self.servers[0].port}") if self.servers else ()),
            )
            self.servers.append(server)
            server.start()
        configuration = self.folder / "sentinel.conf"
        configuration.write_text(
            CONFIGURATION.format(
                port=self.port, identity=identity, authority=self.authority.file, service=SERVICE,
                primary=self.servers[0].port, password=PASSWORD, sentinel_password=SENTINEL_PASSWORD,
            ),
            encoding="utf-8",
        )  # fmt: skip
        with (self.folder / "sentinel.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.servers[0].program, configuration, "--sentinel"], stdout=log, stderr=log
            )
        self._wait_until_known()

    def kill_primary(self) -> None:
        self.servers[0].kill()

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(10)
        for server in self.servers:
            server.kill()  # its data is not needed

    def _wait_until_known(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        tls = {"ssl": True, "ssl_ca_certs": str(self.authority.file)}
        with Redis(port=self.port, host="127.0.0.1", password=SENTINEL_PASSWORD, **tls) as client:  # type: ignore[arg-type]
            while time.monotonic() < deadline:
                try:
                    known = client.execute_command("SENTINEL REPLICAS", SERVICE)
                except ConnectionError:
                    known = []
                if known:
                    return
                time.sleep(0.05)
        self.stop()
        raise DidNotStart(f"The Sentinel knows no replica; its output is in {self.folder}")
