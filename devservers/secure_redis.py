"""A local redis-server that takes TLS and a Unix socket alone, with the users of an ACL file of deploy/redis."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from redis import Redis

from devservers.certificates import Authority, Identity
from devservers.redis_server import RedisServer

ACL_FILES = Path(__file__).resolve().parents[1] / "deploy" / "redis"


@dataclass
class SecureRedis(RedisServer):
    """One server with a certificate of ``authority``. ``acl`` is the name of its ACL file; its url is the operator's.

    It asks for no client's certificate, and verifies one that it gets.
    """

    authority: Authority = field(kw_only=True)
    acl: str = field(kw_only=True)
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.identity = self.authority.identity(f"redis-{self.acl}", "localhost", "127.0.0.1")
        users = (ACL_FILES / f"{self.acl}.acl").read_text(encoding="utf-8")
        own = self.folder / "users.acl"
        own.write_text(re.sub(r">(\w+)_PASSWORD", lambda found: f">{password_of(found[1].lower())}", users), "utf-8")
        self.options += (
            *f"--bind 127.0.0.1 127.0.0.2 --port 0 --tls-port {self.port} --tls-auth-clients optional".split(),
            *("--tls-cert-file", str(self.identity.certificate), "--tls-key-file", str(self.identity.key)),
            *("--tls-ca-cert-file", str(self.authority.file), "--unixsocket", str(self.socket), "--aclfile", str(own)),
        )

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return self.url_of("operator")

    def url_of(self, user: str, database: int = 0, *, host: str = "127.0.0.1") -> str:
        """The URL of a user of the ACL file, by TLS."""
        return f"rediss://{_credentials(user)}@{host}:{self.port}/{database}?ssl_ca_certs={self.authority.file}"

    def socket_url_of(self, user: str, database: int) -> str:
        """The URL of a user, by the Unix socket."""
        return f"unix://{_credentials(user)}@{self.socket}?db={database}"

    def denials(self) -> list[str]:
        """What the users were refused, as user, reason and object."""
        with Redis.from_url(self.url) as client:
            return sorted({f"{one['username']}: {one['reason']} {one['object']}" for one in client.acl_log()})


def password_of(user: str) -> str:
    """A password with every character that a URL must not have as it is."""
    return f"{user}/?#@:%"


def _credentials(user: str) -> str:
    return f"{user}:{quote(password_of(user), safe='')}"
