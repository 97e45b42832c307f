"""Record of the Pythons and systems for which every pinned package has a wheel. `make lock` runs it (needs uv).

    python -m deploy.wheels

For each lock file, system and version of Python it asks the package index what ``pip install --only-binary=:all:``
would install there, without installing anything: resolved, not run. It writes deploy/wheels.json, and the table of
docs/running.md from it. A test holds both to the lock files; it asks no index.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "deploy" / "wheels.json"
PAGE = ROOT / "docs" / "running.md"
MARKERS = re.compile(r"(<!-- wheels -->\n).*?(<!-- /wheels -->)", re.DOTALL)

LOCKS = {"requirements.lock": "the product", "requirements-dev.lock": "`make demo`, `make test`"}
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
SYSTEMS = {  # uv's names of platforms
    "x86_64-manylinux_2_28": "Linux, glibc 2.28 or newer, x86_64",
    "aarch64-manylinux_2_28": "Linux, glibc 2.28 or newer, arm64",
    "x86_64-unknown-linux-musl": "Linux, musl, x86_64",
    "aarch64-apple-darwin": "macOS, arm64",
    "x86_64-pc-windows-msvc": "Windows, x86_64",
}
LISTED = 4  # packages without a wheel, at most, for a lock file, system and version
RESOLUTIONS = 4  # at once
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)
BLOCK = re.compile(r"^[a-z0-9._-]+==.*?(?=^[a-z]|\Z)", re.MULTILINE | re.DOTALL)
MISSING = re.compile(r"Because\s+([a-z0-9._-]+)(?:\{[^}]*\})?==\S+\s+has\s+no\s+(?:usable\s+)?wheels")

Record = Mapping[str, Any]


class NotResolved(Exception):
    """A resolution that failed for another reason than a missing wheel; the message is uv's."""


def digest_of(lock: str) -> str:
    """A digest of the packages that a lock file pins."""
    return hashlib.sha256("\n".join(sorted(map("==".join, PIN.findall(lock)))).encode()).hexdigest()[:16]


def without(lock: str, packages: Sequence[str]) -> str:
    """A lock file without some packages."""
    return "".join(block for block in BLOCK.findall(lock) if PIN.findall(block)[0][0] not in packages)


def resolution(lock: str, system: str, version: str) -> str:
    """What uv says about a lock file that does not resolve; empty if it does."""
    with tempfile.TemporaryDirectory(prefix="rapport-wheels-") as folder:
        pins = Path(folder) / "pins.txt"
        pins.write_text(lock, encoding="utf-8")
        command = ["uv", "pip", "install", "--dry-run", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        target = ["--target", folder, "--python-platform", system, "--python-version", version]
        done = subprocess.run([*command, *target, "-r", str(pins)], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def missing(lock: str, system: str, version: str) -> list[str]:
    """The first LISTED packages of a lock file that have no wheel for a system and version. Raises NotResolved."""
    found: list[str] = []
    while len(found) < LISTED and (said := resolution(without(lock, found), system, version)):
        named = [name for name in MISSING.findall(said) if name not in found]
        if not named:
            raise NotResolved(said)
        found += named
    return sorted(found)


def made() -> Record:
    """The record of today's lock files."""
    locks = {name: (ROOT / name).read_text(encoding="utf-8") for name in LOCKS}
    cases = list(product(LOCKS, SYSTEMS, VERSIONS))
    with ThreadPoolExecutor(RESOLUTIONS) as pool:
        found = pool.map(lambda case: missing(locks[case[0]], case[1], case[2]), cases)
    lacking: dict[str, dict[str, dict[str, list[str]]]] = {name: {system: {} for system in SYSTEMS} for name in LOCKS}
    for (name, system, version), packages in zip(cases, found, strict=True):
        lacking[name][system][version] = packages
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "pins": {name: digest_of(lock) for name, lock in locks.items()},
        "packages": {name: len(PIN.findall(lock)) for name, lock in locks.items()},
        "missing": lacking,
    }


def table_of(record: Record) -> str:
    """The table of a record: the packages without a wheel."""
    return "".join(f"{line}\n" for line in rows(record))


def rows(record: Record) -> Iterator[str]:
    yield f"| no wheel for | {' | '.join(VERSIONS)} |"
    yield f"|{'---|' * (len(VERSIONS) + 1)}"
    for name, use in LOCKS.items():
        for system, title in SYSTEMS.items():
            cells = [cell(record["missing"][name][system][version]) for version in VERSIONS]
            yield f"| {use}: {title} | {' | '.join(cells)} |"
    yield ""
    counted = ", ".join(f"{count} packages of `{name}`" for name, count in record["packages"].items())
    yield f"Resolved on {record['date']}: {counted}."


def cell(packages: Sequence[str]) -> str:
    if not packages:
        return "none lacks"
    return ", ".join(packages[: LISTED - 1]) + ", and others" * (len(packages) == LISTED)


def write_page(record: Record) -> None:
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKERS.sub(lambda found: found[1] + "\n" + table_of(record) + "\n" + found[2], page), "utf-8")


def main() -> None:
    record = made()
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    write_page(record)


if __name__ == "__main__":
    sys.exit(main())
