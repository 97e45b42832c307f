"""Answers of the API while a server behind it is silent, killed, read-only or full, and the seconds until it recovers.

    python -m tests.system.faults

One customer who agreed is read every ten milliseconds, with 250 ms to answer in, while one server after the other
breaks for HOLD_S and comes back. Writes bench/results/faults.json.
"""

import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx
from redis import Redis, RedisError

from devservers import results
from devservers.installation import Installation
from devservers.redis_server import RedisServer
from devservers.waiting import eventually

KAFKA = "127.0.0.1:1"  # nobody: reads need none
TIMEOUT_MS, EVERY_S, HOLD_S, BACK_S = 250, 0.01, 4.0, 20.0
CUSTOMER, NOTICE = "C1", "privacy/1/en"
QUESTION = {
    "service": "support_chat", "purpose": "service", "customer_id": CUSTOMER, "features": ["returns_90d"],
    "timeout_ms": TIMEOUT_MS,
}  # fmt: skip
SERVED, SETTLED = "served", 30  # so many reads in a row


class TimedRead(NamedTuple):
    """One read: its monotonic start, its seconds, and its answer."""

    at_s: float
    took_s: float
    answer: str


class Recovery(NamedTuple):
    """One fault: answers while it lasted, the longest read, and the seconds after its end until all was as before."""

    answers: Counter[str]
    longest_s: float
    back_s: float


class FaultHarness:
    """The API with its store verifier, and a store and a control Redis that can be broken."""

    def __init__(self, folder: Path) -> None:
        self.store = RedisServer(folder / "store")
        self.control = RedisServer(folder / "control", durable=True)
        self.store.start()
        self.control.start()
        self.installation = Installation(
            folder, kafka=KAFKA, store=self.store.url, control_url=self.control.url, serves="api"
        )
        self.installation.prepare_database()
        self.installation.start_store_verifier()
        self.client = self.installation.start_api()
        person = {"customer_id": CUSTOMER, "region": "eu", "brand": "acme"}
        decision = {"customer_id": CUSTOMER, "purpose": "service", "decision": "given", "method": "web"}
        eventually(lambda: self.client.post("/v1/customers", json=person).status_code == 200, "a customer")
        eventually(
            lambda: self.client.post("/v1/consents", json=decision | {"notice": NOTICE}).status_code == 201,
            "the consent",
        )
        eventually(lambda: self.read() == SERVED, "served")

    def read(self) -> str:
        """The answer to a read: served, the reason for withholding, or the status code."""
        try:
            answer = self.client.post("/v1/features", json=QUESTION)
        except httpx.TransportError as error:
            return repr(error)
        if answer.status_code != 200:
            return str(answer.status_code)
        (view,) = answer.json()["views"].values()
        return str(view["reason"]) if view["status"] == "withheld" else SERVED

    @contextmanager
    def reading(self) -> Iterator[list[TimedRead]]:
        """Read all the time until the block ends."""
        seen: list[TimedRead] = []
        over = threading.Event()

        def read_on() -> None:
            while not over.wait(EVERY_S):
                began_s = time.monotonic()
                answer = self.read()
                seen.append(TimedRead(began_s, time.monotonic() - began_s, answer))

        thread = threading.Thread(target=read_on)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()

    def measure(self, fault: "Fault", hold_s: float = HOLD_S) -> Recovery:
        """Break a server for a while, and wait until all is as before."""
        with self.reading() as seen:
            began_s = time.monotonic()
            fault.begin(self)
            assert not takes_writes(getattr(self, fault.server)), "the fault has no effect"
            time.sleep(hold_s)
            fault.end(self)
            ended_s = time.monotonic()
            eventually(lambda: settled(seen, ended_s), "served again, with no other answer since", within_s=BACK_S)
        during = [one for one in seen if began_s <= one.at_s < ended_s]
        after = [one for one in seen if one.at_s >= ended_s]
        refused = [one.at_s + one.took_s for one in after if one.answer != SERVED]
        answers = Counter(one.answer for one in during)
        return Recovery(answers, max(one.took_s for one in seen), max(refused, default=ended_s) - ended_s)

    def stop(self) -> None:
        for server in (self.store, self.control):
            if server.process:
                server.process.send_signal(signal.SIGCONT)
        self.installation.stop()
        self.store.stop()
        self.control.stop()


class Fault(NamedTuple):
    """How a server breaks and recovers, and the answers that a caller may get instead."""

    server: str
    begin: Callable[[FaultHarness], object]
    end: Callable[[FaultHarness], object]
    instead: set[str]


def takes_writes(server: RedisServer) -> bool:
    try:
        with Redis(port=server.port, socket_timeout=0.2) as client:
            client.set("probe", 1)
    except RedisError:
        return False
    return True


def settled(seen: list[TimedRead], since_s: float) -> bool:
    """Whether the last reads, all of them later, were served."""
    last = seen[-SETTLED:]
    return len(last) == SETTLED and all(one.answer == SERVED and one.at_s > since_s for one in last)


def signalled(name: str, number: signal.Signals) -> Callable[[FaultHarness], None]:
    def send(harness: FaultHarness) -> None:
        process = getattr(harness, name).process
        assert process is not None
        process.send_signal(number)

    return send


def command_sent(*command: str) -> Callable[[FaultHarness], None]:
    def send(harness: FaultHarness) -> None:
        with Redis(port=harness.store.port) as client:
            client.execute_command(*command)

    return send


UNAVAILABLE, UNVOUCHED = "503", "store_unvouched"
FAULTS: Mapping[str, Fault] = {
    "store_silent": Fault(
        "store", signalled("store", signal.SIGSTOP), signalled("store", signal.SIGCONT), {UNAVAILABLE, UNVOUCHED}
    ),
    "store_killed": Fault(
        "store", lambda harness: harness.store.kill(), lambda harness: harness.store.start(), {UNAVAILABLE, UNVOUCHED}
    ),
    "store_full": Fault(
        "store",
        command_sent("CONFIG", "SET", "maxmemory", "1"),
        command_sent("CONFIG", "SET", "maxmemory", "0"),
        {UNVOUCHED},
    ),
    "store_read_only": Fault(
        "store",
        command_sent("REPLICAOF", "127.0.0.1", "1"),
        command_sent("REPLICAOF", "NO", "ONE"),
        {UNVOUCHED, UNAVAILABLE},
    ),
    "control_silent": Fault(
        "control", signalled("control", signal.SIGSTOP), signalled("control", signal.SIGCONT), set()
    ),
    "control_killed": Fault(
        "control", lambda harness: harness.control.kill(), lambda harness: harness.control.start(), set()
    ),
}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rapport-faults-"))
    harness = FaultHarness(folder)
    figures: dict[str, float] = {}
    try:
        for name, fault in FAULTS.items():
            rounds = [harness.measure(fault) for _ in range(3)]
            figures |= {
                f"{name}_times": len(rounds),
                f"{name}_s": median(one.back_s for one in rounds),
                f"{name}_worst_s": max(one.back_s for one in rounds),
                f"{name}_longest_answer_ms": 1000 * max(one.longest_s for one in rounds),
            }
            print(name, dict(sum((one.answers for one in rounds), Counter())), flush=True)
    finally:
        harness.stop()
    shutil.rmtree(folder)
    print(results.write("faults", figures, "python -m tests.system.faults"))


if __name__ == "__main__":
    main()
