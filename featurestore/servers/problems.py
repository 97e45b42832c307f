"""What may be wrong with the settings of a server, and what counts as a local one."""

import sys
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

from featurestore.config import Settings

MISNAMED, PLAINTEXT = "E020", "E021"


class Problem(NamedTuple):
    """An error: its code, a message without secrets, a remedy."""

    code: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"rapport.{self.code}: {self.message} {self.remedy}"


def misnamed(message: str, remedy: str = "docs/servers.md has every form.") -> Problem:
    """The problem of a form that some client would not honour: refused in every environment."""
    return Problem(MISNAMED, message, remedy)


def plaintext(conf: Settings, server: str, setting: str) -> Iterator[Problem]:
    """The problem of a server that is reached by plaintext over a network; none where the settings allow it."""
    if conf.production and server not in conf.plaintext_servers:
        yield Problem(
            PLAINTEXT,
            f"{setting}: the server is reached by plaintext over a network.",
            "Encrypt it (docs/servers.md). If your network keeps it secret by itself, name the server in "
            f'RAPPORT_PLAINTEXT_SERVERS: ["{server}"].',
        )


def refuse(problems: Iterable[Problem]) -> None:
    """Exit with every problem, if there is one."""
    if found := list(problems):
        sys.exit("\n".join(map(str, found)))


def refuse_misnamed(problems: Iterable[Problem]) -> None:
    """Exit with the problems of misnamed servers, if there is one."""
    refuse(problem for problem in problems if problem.code == MISNAMED)


def is_local(host: str) -> bool:
    """Whether a host is this machine, without resolving a name: loopback, or the folder of a Unix socket."""
    try:
        return host in ("", "localhost") or host.startswith(("/", "@")) or ip_address(host).is_loopback
    except ValueError:
        return False
