"""Erasure and export of customers with many events: how long, and with how much memory of the process that does it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import psutil

from bench.privacy.canaries import Person
from bench.privacy.passage import FACTS, Passage
from bench.privacy.servers import CELERY, STATING_TIMES
from devservers.waiting import eventually
from featurestore import names
from featurestore.catalog.orders import OrderLine, orders
from featurestore.identity import partition_of

SEND_S, FOLDED_S, ERASED_S = 600, 1200, 900
MEBIBYTE = 2**20


def figures_of(passage: Passage, events: int) -> dict[str, float]:
    """Seconds and memory of an export and an erasure of a customer with so many events.

    The stated times are long until the export is over, and then short; an erasure is over when it is closed, which
    includes them.
    """
    passage.lengthen(*STATING_TIMES)
    person = passage.person(f"many-{events}-{time.time_ns()}", f"order-{events}")
    passage.register(person)
    send_orders(passage, person, events)
    eventually(lambda: counted(passage, person) == events, f"{events} events are served", FOLDED_S, every_s=1)
    passage.say(f"{events:,} events are folded and served")
    passage.made.stop(CELERY)  # the export runs in a process of its own, whose memory is known
    exported = json.loads(passage.made.run("-c", FACTS, "package", person.identifier).stdout.splitlines()[-1])
    assert exported["items"] >= events, exported
    passage.say(f"{events:,} events exported in {exported['seconds']:.1f} s")
    passage.shorten(*STATING_TIMES)
    with peak_memory(passage.made.processes[CELERY].pid) as peak:
        began_s = time.monotonic()
        passage.erase(person, ERASED_S)
        erased_s = time.monotonic() - began_s
    passage.say(f"{events:,} events erased in {erased_s:.1f} s, stated times included")
    return {
        f"export_s_{events}": exported["seconds"],
        f"export_rss_mb_{events}": exported["rss_mb"],
        f"erase_s_{events}": erased_s,
        f"erase_rss_mb_{events}": peak["mb"],
    }


def send_orders(passage: Passage, person: Person, events: int) -> None:
    """Orders of one customer, within the last hour, as fast as Kafka takes them."""
    topic = names.events("orders", int(str(passage.made.settings["generation"])))
    partition = partition_of(person.subject, int(str(passage.made.settings["partitions"])))
    line = OrderLine(kind="completed", order_id=person.canary, sku="LAMP", quantity=1, amount=Decimal("0.01"))
    now = datetime.now(UTC)
    for number in range(events):
        raw = orders.encode(
            id=f"{person.canary}-{number}",
            source="shop",
            subject=person.subject,
            time=now,  # an event from before the consent counts for nothing
            data=line,
        )
        while True:
            try:
                passage.producer.produce(topic, raw, person.subject.encode(), partition)
                break
            except BufferError:
                passage.producer.poll(0.05)
    assert passage.producer.flush(SEND_S) == 0


def counted(passage: Passage, person: Person) -> int:
    """The customer's orders as they are served."""
    question = {"service": "support_chat", "purpose": "service", "customer_id": person.identifier}
    answer = passage.api.post("/v1/features", json=question)
    spent = answer.json()["features"]["spend_amount_sum_1h"] if answer.status_code == 200 else None
    return round(spent * 100) if spent else 0


@contextmanager
def peak_memory(pid: int, every_s: float = 0.5) -> Iterator[dict[str, float]]:
    """The most resident memory of one process among a process and its children, in MiB, while the block runs."""
    peak, over = {"mb": 0.0}, threading.Event()

    def watch() -> None:
        while not over.wait(every_s):
            peak["mb"] = max(peak["mb"], largest_mb(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def largest_mb(pid: int) -> float:
    try:
        one = psutil.Process(pid)
        return max(process.memory_info().rss for process in [one, *one.children(recursive=True)]) / MEBIBYTE
    except psutil.NoSuchProcess:
        return 0.0
