"""System checks of the machine: each untested system and Python is named, and nothing fails at an import."""

import subprocess
import sys

import pytest

from adminsite.host_checks import PYTHONS, Host, this_host, untested
from featurestore.config import ROOT

TESTED = Host("Linux", "x86_64", "glibc", (3, 11))


def test_tested_system_gives_no_warning() -> None:
    assert untested(TESTED) == []
    assert this_host().python == sys.version_info[:2]


@pytest.mark.parametrize("python", PYTHONS)
def test_each_python_that_resolves_gives_no_warning(python: tuple[int, int]) -> None:
    assert untested(TESTED._replace(python=python)) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"system": "Windows", "machine": "amd64", "libc": ""}, "Windows is not supported: processes drain"),
        ({"system": "Darwin", "machine": "arm64", "libc": ""}, "No test runs on Darwin"),
        ({"libc": ""}, "has no glibc: aiokafka, Faust"),
        ({"machine": "aarch64"}, "No test runs on aarch64: Faust has no wheel"),
    ],
)
def test_untested_system_is_a_warning(changed: dict[str, str], said: str) -> None:
    (found,) = untested(TESTED._replace(**changed))
    assert found.id == "rapport.W003"
    assert said in found.msg
    assert "docs/running.md" in str(found.hint)


@pytest.mark.parametrize("python", [(3, 10), (3, 15)])
def test_python_that_does_not_resolve_is_a_warning(python: tuple[int, int]) -> None:
    (found,) = untested(TESTED._replace(python=python))
    assert (found.id, found.msg.split(",")[0]) == ("rapport.W004", f"This is Python {python[0]}.{python[1]}")
    assert "3.11, 3.12, 3.13, 3.14" in str(found.hint)


LIKE_WINDOWS = """
import os, platform, signal, sys
for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGSTOP", "SIGCONT"):
    delattr(signal, name)
sys.modules["uvloop"] = None
platform.system = lambda: "Windows"
from django.core.management import execute_from_command_line
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
execute_from_command_line(["manage.py", "check"])
"""


def test_check_names_the_system_instead_of_failing_at_an_import() -> None:
    command = [sys.executable, "-c", LIKE_WINDOWS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rapport.W003) Windows is not supported" in done.stderr
