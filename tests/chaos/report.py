"""What a run leaves behind: a table fault by fault, three numbers that must be 0, and figures for bench/results."""

import statistics
from collections.abc import Iterable

from tests.chaos.run import Outcome

AWAY = "worker killed, stays away"
NAMED = "failover_s", "broker_back_s", "undisturbed_s"
SHOWN = 20
"""How many of a kind of failure are shown."""


def table(outcome: Outcome) -> str:
    """Times survived, and seconds until served again."""
    lines = ["| fault | survived | served again after s, median | worst |", "|---|---|---|---|"]
    for fault, seconds in by_fault(outcome).items():
        lines.append(f"| {fault} | {len(seconds)} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |")
    return "\n".join(lines)


def summary(outcome: Outcome) -> str:
    """The table, and what it was counted on."""
    named = (
        f"{name}: {value:,g}"
        for name, value in figures(outcome).items()
        if name in NAMED or not name.endswith(("_s", "_times"))
    )
    counted = (f"{number:>9,}  {what}" for what, number in sorted(outcome.counts.items()))
    return "\n".join(["", table(outcome), "", *named, "", *counted])


def figures(outcome: Outcome) -> dict[str, float]:
    """The figures, flat."""
    comparison, counts = outcome.comparison, outcome.counts
    found = {
        "faults": len(outcome.survived),
        "lost": len(comparison.lost) + len(outcome.letters.missing),
        "doubled": len(comparison.doubled),
        "leaked": len(outcome.leaks) + len(comparison.leaked),
        "failover_s": median(s.first_s for s in outcome.survived if s.fault == AWAY),
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
    """What went wrong, in words; empty if nothing did."""
    comparison, letters = outcome.comparison, outcome.letters
    found: list[str] = []
    for title, cases in {
        "lost": comparison.lost,
        "doubled": comparison.doubled,
        "served in the end though withdrawn": comparison.leaked,
        "served after a withdrawal": outcome.leaks,
        "poison without its dead letter": letters.missing,
        "dead letters of sound events": letters.unasked,
    }.items():
        if cases:
            found += [f"{title}: {len(cases)}", *(f"    {case}" for case in cases[:SHOWN])]
    if not outcome.sees_one_event:
        found.append("the comparison did not see an event that was lost and one that counted twice on purpose")
    return [*found, f"logs and what was written: {outcome.folder}"] if found else []


def by_fault(outcome: Outcome) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {}
    for survived in sorted(outcome.survived, key=lambda one: one.fault):
        seconds.setdefault(survived.fault, []).append(survived.seconds)
    return seconds


def median(values: Iterable[float]) -> float:
    return statistics.median(found) if (found := list(values)) else 0.0
