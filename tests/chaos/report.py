"""Report of a run: a table of faults, failures, and the figures for bench/results."""

import statistics
from collections.abc import Iterable

from tests.chaos.run import Outcome

AWAY = "worker killed, stays away"
MAIN_FIGURES = "failover_s", "broker_back_s", "undisturbed_s"
MAX_LISTED = 20
"""So many failures of a kind are listed."""


def table(outcome: Outcome) -> str:
    """Number of each fault, and seconds until values were fresh again."""
    lines = ["| fault | survived | served again after s, median | worst |", "|---|---|---|---|"]
    for fault, seconds in by_fault(outcome).items():
        lines.append(f"| {fault} | {len(seconds)} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |")
    return "\n".join(lines)


def summary(outcome: Outcome) -> str:
    """The table, the main figures and the counts."""
    main = (
        f"{name}: {value:,g}"
        for name, value in figures(outcome).items()
        if name in MAIN_FIGURES or not name.endswith(("_s", "_times"))
    )
    counts = (f"{number:>9,}  {name}" for name, number in sorted(outcome.counts.items()))
    return "\n".join(["", table(outcome), "", *main, "", *counts])


def figures(outcome: Outcome) -> dict[str, float]:
    """The figures, flat."""
    comparison, counts = outcome.comparison, outcome.counts
    found = {
        "faults": len(outcome.survived_faults),
        "lost": len(comparison.lost) + len(outcome.dead_letters.missing),
        "doubled": len(comparison.doubled),
        "leaked": len(outcome.leaks) + len(comparison.leaked),
        "failover_s": median(s.first_s for s in outcome.survived_faults if s.fault == AWAY),
        "broker_back_s": median(outcome.broker_back_s),
        "undisturbed_s": median(outcome.undisturbed_s),
        "minutes": outcome.minutes,
        "events": counts["events written"],
        "poison_events": counts["poison"],
        "consent_changes": sum(number for what, number in counts.items() if what.startswith(("given", "withdrawn"))),
        "values_compared": comparison.compared,
        "denials_checked": counts["denials checked"] + comparison.withheld,
    }
    for fault, seconds in by_fault(outcome).items():
        name = "_".join(fault.lower().replace("'", "").replace(",", "").split())
        found |= {
            f"{name}_times": len(seconds),
            f"{name}_s": statistics.median(seconds),
            f"{name}_worst_s": max(seconds),
        }
    return {name: float(value) for name, value in found.items()}


def failures(outcome: Outcome) -> list[str]:
    """Lines that describe what went wrong; empty if nothing did."""
    comparison, dead_letters = outcome.comparison, outcome.dead_letters
    found: list[str] = []
    for title, cases in {
        "lost": comparison.lost,
        "doubled": comparison.doubled,
        "served in the end although withdrawn": comparison.leaked,
        "served after a withdrawal": outcome.leaks,
        "poison records without their dead letters": dead_letters.missing,
        "unexpected dead letters": dead_letters.unexpected,
    }.items():
        if cases:
            found += [f"{title}: {len(cases)}", *(f"    {case}" for case in cases[:MAX_LISTED])]
    if not outcome.detects_one_event:
        found.append("the comparison did not detect a removed and a repeated event")
    return [*found, f"logs and written events: {outcome.folder}"] if found else []


def by_fault(outcome: Outcome) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {}
    for survived in sorted(outcome.survived_faults, key=lambda one: one.fault):
        seconds.setdefault(survived.fault, []).append(survived.seconds)
    return seconds


def median(values: Iterable[float]) -> float:
    return statistics.median(found) if (found := list(values)) else 0.0
