"""System checks of the machine: the operating system that Rapport is tested on, and the Pythons that it runs on.

They warn: elsewhere much works, and what is missing is said here before an import or a signal fails.
"""

import platform
import sys
from typing import Any, NamedTuple

from django.core.checks import CheckMessage, Warning

PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))  # for which every pinned package has a wheel: deploy/wheels.json
X86_64 = ("x86_64", "amd64")
PAGE = "docs/running.md, Python and systems"


class Host(NamedTuple):
    """What the checks judge of a machine. ``libc`` is "glibc", or anything else."""

    system: str
    machine: str
    libc: str
    python: tuple[int, int]


def this_host() -> Host:
    return Host(platform.system(), platform.machine().lower(), platform.libc_ver()[0], sys.version_info[:2])


def untested(host: Host) -> list[CheckMessage]:
    """A warning for a system that no test runs on, and one for a Python that the pinned packages have no wheels for."""
    found: list[CheckMessage] = []
    if lack := _lack_of(host):
        found.append(Warning(lack, hint=f"Use Linux with glibc on x86_64, or the image ({PAGE}).", id="rapport.W003"))
    if host.python not in PYTHONS:
        versions = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
        message = f"This is Python {host.python[0]}.{host.python[1]}, for which packages have no wheels."
        found.append(Warning(message, hint=f"Use one of Python {versions} ({PAGE}).", id="rapport.W004"))
    return found


def _lack_of(host: Host) -> str:
    """What is not there or not tried on a system; empty on the tested one."""
    if host.system == "Windows":
        return "Windows is not supported: processes drain and stop by POSIX signals, and Faust has no wheel."
    if host.system != "Linux":
        return f"No test runs on {host.system}: the product's packages are there, those of its tests in part."
    if host.libc != "glibc":
        return "This Linux has no glibc: aiokafka, Faust and others have no wheel, and must be built."
    if host.machine not in X86_64:
        return f"No test runs on {host.machine}: Faust has no wheel, and must be built."
    return ""


def untested_host(**_: Any) -> list[CheckMessage]:
    """The warnings about this machine."""
    return untested(this_host())
