"""One run: a world under load, faults by the schedule, quiet, and the comparison."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.chaos import dead_letters
from tests.chaos.comparison import Comparison, compare, sees_one_event, wait_quiet
from tests.chaos.customers import crowd, one_a_partition, register
from tests.chaos.dead_letters import Judgement
from tests.chaos.decisions import Decisions
from tests.chaos.faults import FAULTS, Blow, Setting
from tests.chaos.probes import Probes, PurgeProbe, Served
from tests.chaos.schedule import schedule
from tests.chaos.traffic import Traffic
from tests.chaos.truth import Truth
from tests.chaos.watch import Leak, Watch
from tests.chaos.world import SESSION_S, World

CALM_S = 0.5, 2.0
"""How long the world is left alone between two faults, at least and at most."""
SHOWS_WITHIN_S = 2 * SESSION_S
"""A fault whose effect shows late shows so soon: the voucher's word and a worker's session outlive both."""
EVERY_S = 0.2


@dataclass(frozen=True)
class Plan:
    """How long and how hard. The run ends when both the minutes are over and the faults were survived."""

    minutes: float
    faults: int
    seed: int
    customers: int = 300
    events_per_s: float = 80.0
    decisions_per_s: float = 0.8
    outage_s: float = 30.0


class Survived(NamedTuple):
    """A fault and how long the slowest fresh event took to be served, from the blow until the world was whole again.

    ``first_s``: until the first event of an affected partition was.
    """

    fault: str
    seconds: float
    first_s: float


@dataclass
class Outcome:
    """What a run found."""

    plan: Plan
    folder: Path
    survived: list[Survived] = field(default_factory=list)
    undisturbed_s: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    leaks: list[Leak] = field(default_factory=list)
    broker_back_s: list[float] = field(default_factory=list)
    sees_one_event: bool = False
    comparison: Comparison = field(default_factory=lambda: Comparison(0, 0, [], [], []))
    letters: Judgement = field(default_factory=lambda: Judgement([], []))
    minutes: float = 0.0


def run(folder: Path, plan: Plan) -> Outcome:
    """Everything, in a folder that keeps the logs. Raises AssertionError if something is not served any more."""
    say(f"chaos: seed {plan.seed}, logs in {folder}")
    outcome, began = Outcome(plan, folder), time.monotonic()
    with ExitStack() as closing:
        world = World(folder).start()
        closing.callback(world.stop)
        _chaos(world, plan, outcome, closing)
    outcome.minutes = (time.monotonic() - began) / 60
    return outcome


def _chaos(world: World, plan: Plan, outcome: Outcome, closing: ExitStack) -> None:
    settings, choices = world.made.settings, random.Random(plan.seed)
    secret, bootstrap, generation = settings["subject_secret"], settings["kafka_bootstrap"], settings["generation"]
    people = crowd(str(secret), plan.customers)
    probed, (purged,) = one_a_partition(str(secret), "probe"), crowd(str(secret), 1, "purged")
    everybody = [*people, *probed, purged]
    with world.client(timeout_s=30) as client:
        register(client, everybody, choices)
        say(f"{len(everybody)} customers are registered")
        truth = Truth(world.folder / "truth")
        traffic = Traffic(str(bootstrap), int(str(generation)), people, truth, plan.events_per_s, plan.seed)
        watch = Watch(world, everybody, plan.seed)
        decisions = Decisions(world, people, watch, plan.decisions_per_s, plan.seed)
        probes, purge_probe = Probes(world, traffic, probed), PurgeProbe(world, decisions, purged)
        closing.callback(purge_probe.stop)
        for part in (traffic, watch, decisions):
            part.start()

        it = Setting(world, choices, plan.outage_s)
        measure = Measure(world, probes, purge_probe)
        measure(Blow())  # everything is served for the first time
        began = time.monotonic()
        for name in schedule(choices):
            if time.monotonic() - began > plan.minutes * 60 and len(outcome.survived) >= plan.faults:
                break
            outcome.undisturbed_s.append(measure(Blow()).all_s)
            outcome.survived.append(strike(name, it, measure))
            for part in (traffic, watch, decisions):
                if part.error:
                    raise part.error
            say(told(outcome, time.monotonic() - began, traffic, watch))
            time.sleep(choices.uniform(*CALM_S))

        decisions.stop()
        traffic.stop()
        watch.stop()
        say("quiet: waiting until all is served")
        wait_quiet(client, everybody)
        db = truth.database(everybody)
        outcome.comparison = compare(client, everybody, db)
        outcome.sees_one_event = sees_one_event(client, people[:1], db)
    outcome.leaks = watch.leaks
    letters = dead_letters.read(str(bootstrap), int(str(generation)))
    outcome.letters = dead_letters.judge(letters, traffic.poisons)
    outcome.counts = traffic.counts + decisions.counts + watch.counts
    outcome.counts["events written"] = truth.events
    outcome.counts["purges seen"] = purge_probe.purges
    outcome.broker_back_s = world.processes["kafka"].back_s
    for process in world.processes.values():
        outcome.counts[f"ends of {process.name}"] = len(process.back_s)


class Measure:
    """How long after a blow the world serves again."""

    def __init__(self, world: World, probes: Probes, purge_probe: PurgeProbe) -> None:
        self.world, self.probes, self.purge_probe = world, probes, purge_probe

    def __call__(self, blow: Blow) -> Served:
        served = self.probes.served(blow.at, blow.partitions)
        return self.purge_probe.served(blow.at) if blow.purges else served

    def until_whole(self, struck_at: float) -> Iterator[Served]:
        """Measure on: a worker that returns takes its partitions from others, a lost voucher is missed later."""
        while time.monotonic() < struck_at + SHOWS_WITHIN_S or not self.world.whole():
            yield self(Blow())
            time.sleep(EVERY_S)
        yield self(Blow())


def strike(name: str, it: Setting, measure: Measure) -> Survived:
    """Do a fault, and measure until the world is whole again."""
    struck_at = time.monotonic()
    try:
        served = [measure(blow) for blow in FAULTS[name](it)]
        served += measure.until_whole(struck_at)
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}; logs in {it.world.folder}") from error
    return Survived(name, max(one.all_s for one in served), served[0].first_s)


def told(outcome: Outcome, elapsed_s: float, traffic: Traffic, watch: Watch) -> str:
    """Progress, one line a fault."""
    last, number = outcome.survived[-1], len(outcome.survived)
    load = f"{traffic.truth.events:,} events, {watch.counts['denials checked']:,} denials, {len(watch.leaks)} leaks"
    return f"{elapsed_s / 60:5.1f} min  fault {number:>3}  {last.fault:<27} {last.seconds:6.1f} s   {load}"


def say(text: str) -> None:
    print(text, flush=True)
