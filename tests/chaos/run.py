"""One chaos run: load, faults by the schedule, a wait until all is up to date, and the comparison."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.chaos import dead_letters
from tests.chaos.comparison import Comparison, adopt_starts, compare, detects_one_event, wait_until_up_to_date
from tests.chaos.consent_traffic import ConsentTraffic
from tests.chaos.customers import make_customers, one_per_partition, register
from tests.chaos.dead_letters import DeadLetterCheck
from tests.chaos.disturbance import Disturbance, FaultContext
from tests.chaos.environment import SESSION_S, ChaosEnvironment
from tests.chaos.event_traffic import EventTraffic
from tests.chaos.faults import FAULTS
from tests.chaos.leak_monitor import Leak, LeakMonitor
from tests.chaos.probes import CustomersProbe, PurgeProbe, ReadProbe, RecoveryTimes
from tests.chaos.schedule import schedule
from tests.chaos.written_events import WrittenEvents

LONGEST_PAUSE_S = 2.0
EVERY_S = 0.2


@dataclass(frozen=True)
class Plan:
    """Length and load of a run. It ends when the minutes are over and the number of faults is reached.

    ``kinds``: names of faults that are carried out. ``watch_s``: for how long a fault is watched, if it may have late
    effects: longer than a vouch key and a worker's session last. Watched for less, they show during the next fault.
    """

    minutes: float
    faults: int
    seed: int
    customers: int = 300
    events_per_s: float = 80.0
    decisions_per_s: float = 0.8
    outage_s: float = 30.0
    kinds: tuple[str, ...] = tuple(FAULTS)
    watch_s: float = 2 * SESSION_S
    reads_per_s: float = 6.0


class SurvivedFault(NamedTuple):
    """A fault, and the longest time until a fresh value was served, measured until the environment was healthy again.

    ``first_s``: until the first affected partition was served.
    """

    fault: str
    seconds: float
    first_s: float


@dataclass
class Outcome:
    """Results of a run."""

    plan: Plan
    folder: Path
    survived_faults: list[SurvivedFault] = field(default_factory=list)
    undisturbed_s: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    leaks: list[Leak] = field(default_factory=list)
    broker_back_s: list[float] = field(default_factory=list)
    detects_one_event: bool = False
    comparison: Comparison = field(default_factory=lambda: Comparison(0, 0, [], [], []))
    dead_letters: DeadLetterCheck = field(default_factory=lambda: DeadLetterCheck([], []))
    minutes: float = 0.0


def run(folder: Path, plan: Plan) -> Outcome:
    """Run chaos in a folder that keeps the logs. Raises AssertionError if values are not served again in time."""
    log(f"chaos: seed {plan.seed}, logs in {folder}")
    outcome, began = Outcome(plan, folder), time.monotonic()
    with ExitStack() as closing:
        env = ChaosEnvironment(folder).start()
        closing.callback(env.stop)
        _run_faults(env, plan, outcome, closing)
    outcome.minutes = (time.monotonic() - began) / 60
    return outcome


def _run_faults(env: ChaosEnvironment, plan: Plan, outcome: Outcome, closing: ExitStack) -> None:
    settings, choices = env.installation.settings, random.Random(plan.seed)
    secret, bootstrap, first_generation = settings["subject_secret"], settings["kafka_bootstrap"], env.generation
    customers = make_customers(str(secret), plan.customers)
    probe_customers = one_per_partition(str(secret), "probe")
    (purge_customer,) = make_customers(str(secret), 1, "purged")
    all_customers = [*customers, *probe_customers, purge_customer]
    with env.client(timeout_s=30) as client:
        register(client, all_customers, choices)
        log(f"{len(all_customers)} customers are registered")
        written = WrittenEvents(env.folder / "written")
        event_traffic = EventTraffic(str(bootstrap), env.generation, customers, written, plan.events_per_s, plan.seed)
        leak_monitor = LeakMonitor(env, list(all_customers), plan.reads_per_s, plan.seed)
        consent_traffic = ConsentTraffic(env, customers, leak_monitor, plan.decisions_per_s, plan.seed)
        read_probe = ReadProbe(env, event_traffic, probe_customers)
        purge_probe = PurgeProbe(env, consent_traffic, purge_customer)
        closing.callback(purge_probe.stop)
        for part in (event_traffic, leak_monitor, consent_traffic):
            part.start()

        context = FaultContext(
            env,
            client,
            choices,
            plan.outage_s,
            customers,
            all_customers,
            event_traffic,
            consent_traffic,
            leak_monitor,
            read_probe,
            purge_probe,
        )
        measure = RecoveryMeasurement(env, read_probe, purge_probe)
        measure(Disturbance())  # until everything is served for the first time
        began = time.monotonic()
        for name in schedule(choices, plan.kinds):
            if time.monotonic() - began > plan.minutes * 60 and len(outcome.survived_faults) >= plan.faults:
                break
            outcome.undisturbed_s.append(measure(Disturbance()).all_s)
            outcome.survived_faults.append(run_fault(name, context, measure, plan.watch_s))
            for part in (event_traffic, leak_monitor, consent_traffic):
                if part.error:
                    raise part.error
            log(progress(outcome, time.monotonic() - began, event_traffic, leak_monitor))
            time.sleep(choices.uniform(0, min(plan.watch_s, LONGEST_PAUSE_S)))

        consent_traffic.stop()
        event_traffic.stop()
        leak_monitor.stop()
        log("waiting until everything is up to date")
        wait_until_up_to_date(client, all_customers)
        starts = adopt_starts(client, all_customers)
        db = written.database(all_customers)
        outcome.comparison = compare(client, all_customers, db)
        outcome.comparison.lost.extend(starts)
        outcome.detects_one_event = detects_one_event(client, customers[:1], db)
    outcome.leaks = leak_monitor.leaks
    found = dead_letters.read(str(bootstrap), range(first_generation, env.generation + 1))
    outcome.dead_letters = dead_letters.check(found, event_traffic.poison_records)
    outcome.counts = event_traffic.counts + consent_traffic.counts + leak_monitor.counts
    outcome.counts["events written"] = written.events
    outcome.counts["purges seen"] = purge_probe.purges
    outcome.broker_back_s = env.processes["kafka"].restart_times_s
    for process in env.processes.values():
        outcome.counts[f"ends of {process.name}"] = len(process.restart_times_s)


class RecoveryMeasurement:
    """Measures the time from a disturbance until fresh values are served again."""

    def __init__(self, env: ChaosEnvironment, read_probe: ReadProbe, purge_probe: PurgeProbe) -> None:
        self.env, self.read_probe, self.purge_probe = env, read_probe, purge_probe
        self.customers_probe = CustomersProbe(env)

    def __call__(self, disturbance: Disturbance) -> RecoveryTimes:
        served = self.read_probe.measure(disturbance.at, disturbance.partitions)
        if disturbance.customers:
            served = self.customers_probe.measure(disturbance.at, disturbance.customers)
        return self.purge_probe.measure(disturbance.at) if disturbance.purges else served

    def until_healthy(self, watch_until: float) -> Iterator[RecoveryTimes]:
        """Measure on, for late effects: a restarted worker takes partitions from others, a vouch key expires."""
        while time.monotonic() < watch_until or not self.env.healthy():
            yield self(Disturbance())
            time.sleep(EVERY_S)
        yield self(Disturbance())


def run_fault(name: str, context: FaultContext, measure: RecoveryMeasurement, watch_s: float) -> SurvivedFault:
    """Carry out a fault, and measure until the environment is healthy again."""
    fault = FAULTS[name]
    watch_until = time.monotonic() + (watch_s if fault.late_effects else 0)
    try:
        served = [measure(disturbance) for disturbance in fault.disturb(context)]
        served += measure.until_healthy(watch_until)
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}; logs in {context.env.folder}") from error
    return SurvivedFault(name, max(one.all_s for one in served), served[0].first_s)


def progress(outcome: Outcome, elapsed_s: float, event_traffic: EventTraffic, leak_monitor: LeakMonitor) -> str:
    """One line after a fault."""
    last, number = outcome.survived_faults[-1], len(outcome.survived_faults)
    denials, leaks = leak_monitor.counts["denials checked"], len(leak_monitor.leaks)
    load = f"{event_traffic.written.events:,} events, {denials:,} denials, {leaks} leaks"
    return f"{elapsed_s / 60:5.1f} min  fault {number:>3}  {last.fault:<27} {last.seconds:6.1f} s   {load}"


def log(text: str) -> None:
    print(text, flush=True)
