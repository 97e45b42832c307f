"""URL of a Redis. Each of these forms is honoured by every client: our own connection, redis-py and Celery.

    redis://[user:password@]host[:port][/database]
    rediss://...                                    TLS; the server's certificate is verified
    unix://[user:password@]/path/to/socket[?db=database]
    redis+sentinel://[user:password@]host[:port],host[:port]/name[/database]      rediss+sentinel:// likewise
    redis+cluster://[user:password@]host[:port],host[:port]/                      rediss+cluster:// likewise

Options follow a question mark, with redis-py's names: ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile`` (files), and
``sentinel_username``, ``sentinel_password``. Sentinels are reached as the servers are: by TLS, with the same files.
"""

from typing import Literal, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from featurestore.servers.errors import ServerNameError
from featurestore.servers.tls import Tls

Host = tuple[str, int]
Kind = Literal["server", "socket", "cluster", "sentinel"]

REDIS_PORT, SENTINEL_PORT = 6379, 26379
KINDS: dict[str, Kind] = {"": "server", "cluster": "cluster", "sentinel": "sentinel"}
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
FORMS = (
    "redis[s]://[user:password@]host[:port][/database], unix://[user:password@]/path[?db=database], "
    "redis[s]+sentinel://[user:password@]host[:port],.../name[/database] or "
    "redis[s]+cluster://[user:password@]host[:port],.../"
)
ESCAPE = "In user and password / ? # @ : and % are written as %2F %3F %23 %40 %3A and %25"


class RedisUrl(NamedTuple):
    """A parsed URL. Of a cluster and of Sentinels ``hosts`` are some of them; ``tls`` is None for plaintext."""

    kind: Kind
    hosts: tuple[Host, ...] = ()
    path: str = ""  # of a Unix socket
    tls: Tls | None = None
    username: str = ""
    password: str = ""
    database: int = 0
    service: str = ""  # the name under which Sentinels know the primary
    sentinel_username: str = ""
    sentinel_password: str = ""

    def __repr__(self) -> str:
        return f"<RedisUrl {self.kind} {self.hosts or self.path} {self.service}>"  # no password

    @property
    def host(self) -> str:
        return self.hosts[0][0]

    def server_at(self, host: Host) -> "RedisUrl":
        """A single server of this cluster, or the one that the Sentinels named."""
        return self._replace(kind="server", hosts=(host,), service="")

    def sentinel_at(self, host: Host) -> "RedisUrl":
        """One of the Sentinels, as a server to connect to."""
        return RedisUrl("server", (host,), "", self.tls, self.sentinel_username, self.sentinel_password)


def parse_redis_url(url: str) -> RedisUrl:
    """The URL's parts. Raises ServerNameError if it has none of the forms above."""
    try:
        split = urlsplit(url)
    except ValueError:
        raise ServerNameError(f"is no URL. Use {FORMS}. {ESCAPE}") from None
    if split.fragment or (split.query and "=" not in split.query):
        raise ServerNameError(f"is ambiguous. {ESCAPE}")
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    return _unix(split, options) if split.scheme == "unix" else _tcp(split, options)


def _unix(split: SplitResult, options: dict[str, str]) -> RedisUrl:
    user, _, host = split.netloc.rpartition("@")
    if host or len(split.path) < 2:
        raise ServerNameError("names no socket. Use unix://[user:password@]/path[?db=database]")
    _refuse_unknown(options, ("db",))
    username, password = _credentials(user)
    database = _database(options.get("db", ""))
    return RedisUrl("socket", (), unquote(split.path), None, username, password, database)


def _tcp(split: SplitResult, options: dict[str, str]) -> RedisUrl:
    base, _, suffix = split.scheme.partition("+")
    if base not in ("redis", "rediss") or suffix not in KINDS or split.scheme.endswith("+"):
        raise ServerNameError(f"begins with {split.scheme or 'no scheme'}://. Use {FORMS}")
    kind = KINDS[suffix]
    known = (TLS_OPTIONS if base == "rediss" else ()) + (SENTINEL_OPTIONS if kind == "sentinel" else ())
    _refuse_unknown(options, known if kind != "server" else (*known, "db"))
    user, _, addresses = split.netloc.rpartition("@")
    username, password = _credentials(user)
    port = SENTINEL_PORT if kind == "sentinel" else REDIS_PORT
    hosts = tuple(_host(address, port) for address in addresses.split(","))
    if kind == "server" and len(hosts) > 1:
        raise ServerNameError("names several servers. A cluster is redis+cluster://, Sentinels are redis+sentinel://")
    path = [unquote(part) for part in split.path.strip("/").split("/")]
    service = path.pop(0) if kind == "sentinel" else ""
    if kind == "sentinel" and not service:
        raise ServerNameError("does not name the primary. Use redis+sentinel://host[:port],.../name[/database]")
    if len(path) > 1:
        raise ServerNameError(f"has a path that is no number of a database. {ESCAPE}")
    database = _database(options.get("db") or "".join(path))
    if kind == "cluster" and database:
        raise ServerNameError(f"names database {database}: a cluster has only database 0")
    tls = Tls(*(options.get(name, "") for name in TLS_OPTIONS)) if base == "rediss" else None
    if tls and bool(tls.key_file) > bool(tls.certificate_file):
        raise ServerNameError("has ssl_keyfile without ssl_certfile")
    of_sentinel = (options.get(name, "") for name in SENTINEL_OPTIONS)
    return RedisUrl(kind, hosts, "", tls, username, password, database, service, *of_sentinel)


def _refuse_unknown(options: dict[str, str], known: tuple[str, ...]) -> None:
    if unknown := sorted(options.keys() - {*known}):
        allowed = f"It may have {', '.join(known)}" if known else "It may have none"
        raise ServerNameError(
            f"has the option{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}. {allowed}. ssl_ options need a URL "
            "that begins with rediss; certificates are always verified"
        )


def _credentials(user: str) -> tuple[str, str]:
    username, _, password = user.partition(":")
    return unquote(username), unquote(password)


def _host(address: str, port: int) -> Host:
    try:
        found = urlsplit(f"//{address}")
        return found.hostname or "127.0.0.1", found.port or port
    except ValueError:  # not shown: it may be a part of a password
        raise ServerNameError(f"has an address that is no host:port. {ESCAPE}") from None


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise ServerNameError(f"has a database that is no number. {ESCAPE}")
    return int(text or 0)
