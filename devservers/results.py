"""What a measurement leaves behind: one flat file of figures, written by the run that measured them alone."""

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
    """The machine, as far as figures depend on it."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    memory_gib = psutil.virtual_memory().total / 2**30
    processor = names[0] if names else platform.processor()
    cores = psutil.cpu_count() or 1
    return f"{cores} x {processor}, {memory_gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


def called(name: str) -> str:
    """How this measurement was called."""
    return " ".join(["python -m", f"bench.{name}", *sys.argv[1:]]) if sys.argv[1:] else f"make bench-{name}"


def commit() -> str:
    """What was measured; ``-dirty`` where files were changed since, other than the results of measurements."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", ".", f":!{RESULTS.relative_to(ROOT)}")
    return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def write(name: str, figures: dict[str, float], command: str = "") -> Path:
    """Write a result; figures are rounded to four significant digits. ``command`` made them, if not bench.NAME did."""
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit(),
        "command": command or called(name),
        "figures": {key: float(f"{value:.4g}") for key, value in sorted(figures.items())},
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return path


def tell(name: str, figures: dict[str, float], *, write_it: bool) -> None:
    """Print figures; write them too, unless the run only tried whether it runs."""
    for figure, value in sorted(figures.items()):
        print(f"{figure:<56}{value:>12,.4g}")
    if write_it:
        print(write(name, figures))
