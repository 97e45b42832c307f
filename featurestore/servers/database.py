"""Django's options of the database at a URL, with every option that the URL has.

PostgreSQL's URLs are read by libpq itself, which refuses an option that it does not know: several hosts, a Unix socket,
``sslmode``, ``sslrootcert``, ``target_session_attrs`` and all others hold. Ours below are defaults.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dj_database_url
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from featurestore.config import Settings
from featurestore.servers.errors import ServerNameError
from featurestore.servers.problems import Problem, is_local, misnamed, plaintext

POSTGRES_SCHEMES = ("postgresql://", "postgres://")
CONNECTION_AGE_S = 60
SESSION_OPTIONS = "-c statement_timeout=15000 -c lock_timeout=5000"
POSTGRES_OPTIONS = {
    "connect_timeout": "5",
    # A lost host closes no connection: without these the kernel would wait for a quarter of an hour.
    "tcp_user_timeout": "8000",
    "keepalives_idle": "5",
    "keepalives_interval": "1",
    "keepalives_count": "3",
}
# Several processes write: readers must not block, and a writer takes its lock when its transaction begins, so that it
# waits for the other one instead of failing half-way.
SQLITE_OPTIONS: dict[str, Any] = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
FORMS = "postgresql://user:password@host:port/database?sslmode=verify-full&sslrootcert=FILE or sqlite:///FILE"


def django_database(url: str, pgbouncer: bool) -> dict[str, Any]:
    """An entry of Django's DATABASES. Raises ServerNameError.

    ``pgbouncer``: the URL leads to a PgBouncer in transaction mode. It gives each transaction another connection, so
    nothing may be kept on one between them: no session's options, no server-side cursor, no prepared statement.
    """
    common = {"CONN_MAX_AGE": CONNECTION_AGE_S, "CONN_HEALTH_CHECKS": True}
    if url.startswith("sqlite:"):
        found: dict[str, Any] = dict(dj_database_url.parse(url))
        return found | common | {"OPTIONS": SQLITE_OPTIONS | found.get("OPTIONS", {})}
    options = postgres_options(url)
    if not pgbouncer:
        options["options"] = f"{SESSION_OPTIONS} {options.get('options', '')}".strip()  # the last of two holds
    elif "options" in options:
        raise ServerNameError(
            "has the option `options`, which PgBouncer's transaction mode can't keep. Set it for the role: ALTER ROLE"
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": options.pop("dbname", ""),
        "USER": options.pop("user", ""),
        "PASSWORD": options.pop("password", ""),
        "HOST": options.pop("host", ""),
        "PORT": options.pop("port", ""),
        "OPTIONS": POSTGRES_OPTIONS | options,
        "DISABLE_SERVER_SIDE_CURSORS": pgbouncer,
        **common,
    }


def postgres_options(url: str) -> dict[str, str]:
    """libpq's options in a URL. Raises ServerNameError."""
    if not url.startswith(POSTGRES_SCHEMES):
        raise ServerNameError(f"begins with {url.partition(':')[0]}:. Use {FORMS}")
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except ProgrammingError as error:  # its message may quote the password
        unknown = str(error).strip() if "query parameter" in str(error) else "it is no URL of libpq's"
        raise ServerNameError(
            f"is refused by PostgreSQL's client: {unknown}. Use {FORMS}. In user and password / ? # @ : and % are "
            "written as %2F %3F %23 %40 %3A and %25"
        ) from None
    if not found.get("dbname") and "service" not in found:
        raise ServerNameError(f"names no database. Use {FORMS}")
    return found


def database_problems(conf: Settings) -> Iterator[Problem]:
    """The problems of the database, by settings and files alone."""
    try:
        django_database(conf.database_url, conf.database_pgbouncer)
        options = {} if conf.database_url.startswith("sqlite:") else postgres_options(conf.database_url)
    except (ServerNameError, dj_database_url.ParseError) as error:
        yield misnamed(f"RAPPORT_DATABASE_URL {error}.")
        return
    for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        if (file := options.get(name, "system")) != "system" and not Path(file).is_file():
            yield misnamed(f"RAPPORT_DATABASE_URL: {name}={file} is no file.", "Name PEM files.")
    if not encrypted(options) and not all(map(is_local, hosts(options))):
        yield from plaintext(conf, "database", "RAPPORT_DATABASE_URL")


def encrypted(options: dict[str, str]) -> bool:
    """Whether libpq refuses plaintext. Its default, ``prefer``, does not."""
    return options.get("sslmode") in ("require", "verify-ca", "verify-full")


def is_unverified(url: str) -> bool:
    """Whether the URL encrypts and accepts the certificate of any server, or of any authority's server."""
    return url.startswith(POSTGRES_SCHEMES) and postgres_options(url).get("sslmode") in ("require", "verify-ca")


def hosts(options: dict[str, str]) -> list[str]:
    return (options.get("hostaddr") or options.get("host") or "").split(",")
