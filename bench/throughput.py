"""Events a second on one core: from the first event sent until the last result can be read in Redis.

A worker that is up and has nothing to do gets all events at once, sent faster than anybody folds them: purchases of
20,000 customers over the last month, each customer's in order. So many customers, since two events of one customer
rarely are within a second of a shop's; contestants that write once a customer and checkpoint would seem faster. After-
wards the counts in Redis are compared with what was sent, so that nobody is fast by leaving out.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bench.contestants.workers import Contestant, working
from bench.event_sender import sending, stamps
from bench.servers import Record, by_partition, record, subjects_of
from bench.waiting import wait_until

CUSTOMERS = 20_000
DAYS = 29  # inside the longest window
CHECKED = 200
CHECK_S = 20


class Turn(NamedTuple):
    """Measurements of one turn of a contestant."""

    events_per_s: float
    cpu_us_per_event: float  # processor time of the worker's process, from the first event to the last readable result
    worker_rss_mb: float
    changelog_bytes_per_event: float
    table_bytes_per_customer: float


def throughput(contestant: Contestant, events: int) -> Turn:
    """One turn. Fails when the contestant does not get through, or counts wrongly."""
    servers = contestant.servers
    customers = subjects_of("customer", CUSTOMERS)
    first, last = (by_partition(f"{contestant.topic}-{place}") for place in ("first", "last"))
    servers.permit([*customers, *first, *last])
    records = [*purchases(customers, events), *at_once(last, events)]
    sent = stamps(len(records))
    right = [events // CUSTOMERS + (i < events % CUSTOMERS) for i in range(CHECKED)]
    with working(contestant) as worker:
        servers.send(contestant.topic, at_once(first, 10**9))
        wait_until("it works", lambda: all(contestant.seen(first)), worker)
        changelog_bytes, cpu_s = contestant.changelog_bytes(), sum(worker.cpu_times()[:2])
        with sending(servers.broker.bootstrap, contestant.topic, records, sent):
            ended = wait_until("the last events are readable", lambda: all(contestant.seen(last)), worker)
        rss_mb, cpu_s = worker.memory_info().rss / 1e6, sum(worker.cpu_times()[:2]) - cpu_s
        wait_until("every event is counted", lambda: contestant.counts(customers[:CHECKED]) == right, worker, CHECK_S)
        changelog_bytes = contestant.changelog_bytes() - changelog_bytes
    return Turn(
        events / (ended - sent[0]),
        cpu_s / events * 1e6,
        rss_mb,
        changelog_bytes / events,
        contestant.state_bytes() / CUSTOMERS,
    )


def burst(contestant: Contestant, events: int) -> float:
    """Events a second of one hot customer's, all within a minute."""
    servers = contestant.servers
    (hot,), (first, last) = subjects_of("hot", 1), (by_partition(f"{contestant.topic}-{place}") for place in ("a", "z"))
    servers.permit([hot, *first, *last])
    now = datetime.now(UTC)
    records = [record(hot, i, now - timedelta(minutes=1) * (1 - i / events)) for i in range(events)]
    records += at_once(last, events)
    sent = stamps(len(records))
    with working(contestant) as worker:
        servers.send(contestant.topic, at_once(first, 10**9))
        wait_until("it works", lambda: all(contestant.seen(first)), worker)
        with sending(servers.broker.bootstrap, contestant.topic, records, sent):
            ended = wait_until("the last events are readable", lambda: all(contestant.seen(last)), worker)
        wait_until("every event is counted", lambda: contestant.counts([hot]) == [events], worker, CHECK_S)
    return events / (ended - sent[0])


def purchases(customers: list[str], events: int) -> list[Record]:
    """Each customer's in turn, spread over the last month."""
    now = datetime.now(UTC)
    ages = (timedelta(days=DAYS) * (1 - i / events) for i in range(events))
    return [record(customers[i % len(customers)], i, now - age) for i, age in enumerate(ages)]


def at_once(subjects: list[str], number: int) -> list[Record]:
    """One purchase each, now."""
    now = datetime.now(UTC)
    return [record(subject, number + i, now) for i, subject in enumerate(subjects)]
