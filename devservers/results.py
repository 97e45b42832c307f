"""Results file of a measurement: flat figures with date, machine, commit and command, written by the measuring run."""

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"


def machine() -> str:
    """Processor, cores, memory, system and Python version, as one line."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    memory_gib = psutil.virtual_memory().total / 2**30
    processor = names[0] if names else platform.processor()
    cores = psutil.cpu_count() or 1
    return f"{cores} x {processor}, {memory_gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def called(name: str) -> str:
    """The command line of this measurement."""
    return " ".join(["python -m", f"bench.{name}", *sys.argv[1:]]) if sys.argv[1:] else f"make bench-{name}"


def commit() -> str:
    """The measured commit, with ``-dirty`` if files other than results differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", f":!{RESULTS.relative_to(ROOT)}")
    return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def write(name: str, figures: dict[str, float], command: str = "", path: Path | None = None) -> Path:
    """Write figures, rounded to four significant digits, to ``path`` or bench/results/NAME.json.

    ``command`` measured them; by default ``python -m bench.NAME`` with this process's arguments.
    """
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit(),
        "command": command or called(name),
        "figures": {key: float(f"{value:.4g}") for key, value in sorted(figures.items())},
    }
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def report(
    name: str, figures: dict[str, float], *, write_it: bool, command: str = "", path: Path | None = None
) -> None:
    """Print figures, and write them to their file if ``write_it``."""
    for figure, value in sorted(figures.items()):
        print(f"{figure:<56}{value:>12,.4g}")
    if write_it:
        print(write(name, figures, command, path))
