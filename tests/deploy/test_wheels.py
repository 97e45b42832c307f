"""The recorded resolution of wheels: it is that of the lock files, and documents, Makefile and checks agree with it."""

import json
import subprocess
import sys
import tomllib

import pytest

from adminsite.host_checks import PYTHONS
from deploy import check_python, wheels

RECORD = json.loads(wheels.RECORD.read_text(encoding="utf-8"))
LINUX = "x86_64-manylinux_2_28"


def test_record_is_of_the_lock_files() -> None:
    pins = {name: wheels.digest_of((wheels.ROOT / name).read_text(encoding="utf-8")) for name in wheels.LOCKS}
    assert RECORD["pins"] == pins, "the lock files changed: run `python -m deploy.wheels` (make lock does)"


def test_page_has_the_table_of_the_record() -> None:
    assert wheels.table_of(RECORD) in wheels.PAGE.read_text(encoding="utf-8")


def test_supported_pythons_are_those_that_resolve() -> None:
    resolved = [
        version
        for version in wheels.VERSIONS
        if not any(RECORD["missing"][lock][LINUX][version] for lock in wheels.LOCKS)
    ]
    assert [f"{major}.{minor}" for major, minor in PYTHONS] == resolved
    assert check_python.VERSIONS == PYTHONS
    required = tomllib.loads((wheels.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    (major, first), (_, last) = PYTHONS[0], PYTHONS[-1]
    assert required == f">={major}.{first},<{major}.{last + 1}"


@pytest.mark.parametrize(("version", "named"), [((2, 7), "is 2.7"), ((3, 10), "is 3.10"), ((3, 15), "is 3.15")])
def test_make_names_the_versions_that_work_in_one_line(version: tuple[int, int], named: str) -> None:
    said = check_python.refusal((*version, 0))
    assert said.startswith("Rapport runs on Python 3.11, 3.12, 3.13 or 3.14, and ")
    assert named in said
    assert "\n" not in said


def test_make_goes_on_with_this_python() -> None:
    assert subprocess.run([sys.executable, check_python.__file__], check=False).returncode == 0
    assert [check_python.refusal((*version, 0)) for version in PYTHONS] == [None] * len(PYTHONS)


LOCK = """\
# a comment
one==1.0 \\
    --hash=sha256:aa
two-parts==2.0 ; python_full_version < '3.13' \\
    --hash=sha256:bb
"""


def test_pins_of_a_lock_file() -> None:
    assert wheels.PIN.findall(LOCK) == [("one", "1.0"), ("two-parts", "2.0")]
    assert wheels.without(LOCK, ["one"]).startswith("two-parts==2.0 ;")
    assert wheels.without(LOCK, ["two-parts"]) == "one==1.0 \\\n    --hash=sha256:aa\n"
    assert wheels.digest_of(LOCK) != wheels.digest_of(LOCK.replace("1.0", "1.1"))


def said_by_uv(*answers: str) -> object:
    left = list(answers)
    return lambda lock, system, version: left.pop(0)


def test_every_package_without_a_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    first = "cause: Because one==1.0 has no usable wheels and you require one==1.0"
    second = "cause: Because two-parts{sys_platform == 'linux'}==2.0 has no wheels with a matching Python ABI tag"
    monkeypatch.setattr(wheels, "resolution", said_by_uv(first, second, ""))
    assert wheels.missing(LOCK, LINUX, "3.14") == ["one", "two-parts"]


def test_other_failure_of_a_resolution_is_not_taken_for_a_missing_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "resolution", said_by_uv("error: Failed to fetch the index"))
    with pytest.raises(wheels.NotResolved, match="Failed to fetch"):
        wheels.missing(LOCK, LINUX, "3.14")
