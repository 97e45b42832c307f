"""Plots of the figures."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from tests.load.environment import GENERATOR
from tests.load.process_monitor import Sample

STYLE = {"svg.fonttype": "none", "svg.hashsalt": "rapport", "font.family": "sans-serif", "font.size": 9,
         "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}  # fmt: skip
LIMITS_MS = {"50 ms": 50, "100 ms, peak": 100}


def plot_knee(figures: Mapping[str, float], path: Path) -> None:
    """Plot latency, requests and cores by conversations; a line for each number of API processes."""
    found: dict[int, dict[int, dict[str, float]]] = {}
    for name, value in figures.items():
        if named := re.fullmatch(r"(.+)_(\d+)_processes_(\d+)_conversations", name):
            found.setdefault(int(named[2]), {}).setdefault(int(named[3]), {})[named[1]] = value
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 3.4), layout="constrained")
        latency, rate, cores = figure.subplots(1, 3)
        for processes, steps in sorted(found.items()):
            at = sorted(steps)
            label = f"{processes} API process" + ("es" if processes > 1 else "")
            (line,) = latency.plot(at, [steps[n]["read_p99_ms"] for n in at], marker="o", ms=3, label=f"{label}, p99")
            latency.plot(at, [steps[n]["read_p50_ms"] for n in at], ls=":", color=line.get_color(), label="p50")
            rate.plot(at, [steps[n]["requests_per_s"] for n in at], marker="o", ms=3, label=label)
            cores.plot(at, [steps[n]["api_cores"] for n in at], marker="o", ms=3, label=label)
            cores.plot(at, [steps[n]["generator_cores"] for n in at], ls=":", color=line.get_color(), label="Locust")
        for label, limit_ms in LIMITS_MS.items():
            latency.axhline(limit_ms, color="grey", lw=0.8, ls="--")
            latency.annotate(label, (0.01, limit_ms), xycoords=("axes fraction", "data"), fontsize=7, va="bottom")
        latency.set(title="A read, ms", yscale="log", xlabel="conversations")
        rate.set(title="Requests/s", xlabel="conversations", ylim=(0, None))
        cores.set(title="Cores in use", xlabel="conversations", ylim=(0, None))
        for axes in (latency, rate, cores):
            axes.legend(fontsize=7)
        figure.savefig(path, metadata={"Date": None})


def plot_soak(
    samples: Mapping[str, Sequence[Sample]], history: Sequence[tuple[float, float, float]], path: Path
) -> None:
    """Plot memory of every process, latency and rate over time."""
    with rc_context(STYLE):
        figure = Figure(figsize=(11, 3.4), layout="constrained")
        memory, latency = figure.subplots(1, 2)
        for name, taken in samples.items():
            if name != GENERATOR and taken:
                minutes = [(one.at_s - taken[0].at_s) / 60 for one in taken]
                memory.plot(minutes, [one.uss / 1e6 for one in taken], label=name, lw=1)
        memory.set(title="Private memory, MB", xlabel="minutes", yscale="log")
        memory.legend(fontsize=7, ncols=2)
        minutes = [(at - history[0][0]) / 60 for at, _, _ in history]
        latency.plot(minutes, [p99 for _, _, p99 in history], lw=0.8, label="p99 of all requests, ms")
        latency.plot(minutes, [per_s for _, per_s, _ in history], lw=0.8, label="requests/s")
        latency.set(title="All requests", xlabel="minutes", ylim=(0, None))
        latency.legend(fontsize=7)
        figure.savefig(path, metadata={"Date": None})
