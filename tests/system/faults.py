"""What a chat engine sees while a server behind the API is slow, gone, read-only or full; and for how long.

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


class Seen(NamedTuple):
    """One read: when it was sent, on the monotonic clock, how long it took, and what came."""

    at_s: float
    took_s: float
    what: str


class Survived(NamedTuple):
    """One fault: what was answered meanwhile, the longest answer, and how long after the end all was as before."""

    answers: Counter[str]
    longest_s: float
    back_s: float


class Shop:
    """The API alone, with its store verifier, before a store and a control Redis that may break."""

    def __init__(self, folder: Path) -> None:
        self.store = RedisServer(folder / "store")
        self.control = RedisServer(folder / "control", durable=True)
        self.store.start()
        self.control.start()
        self.it = Installation(folder, kafka=KAFKA, store=self.store.url, control_url=self.control.url, serves="api")
        self.it.prepare_database()
        self.it.start_store_verifier()
        self.client = self.it.start_api()
        person = {"customer_id": CUSTOMER, "region": "eu", "brand": "acme"}
        decision = {"customer_id": CUSTOMER, "purpose": "service", "decision": "given", "method": "web"}
        eventually(lambda: self.client.post("/v1/customers", json=person).status_code == 200, "a customer")
        eventually(
            lambda: self.client.post("/v1/consents", json=decision | {"notice": NOTICE}).status_code == 201,
            "who agreed",
        )
        eventually(lambda: self.ask() == SERVED, "served")

    def ask(self) -> str:
        """What a read is answered: served, why it is withheld, or the status."""
        try:
            answer = self.client.post("/v1/features", json=QUESTION)
        except httpx.TransportError as error:
            return repr(error)
        if answer.status_code != 200:
            return str(answer.status_code)
        (view,) = answer.json()["views"].values()
        return str(view["reason"]) if view["status"] == "withheld" else SERVED

    @contextmanager
    def watched(self) -> Iterator[list[Seen]]:
        """Read on meanwhile."""
        seen: list[Seen] = []
        over = threading.Event()

        def watch() -> None:
            while not over.wait(EVERY_S):
                began_s = time.monotonic()
                what = self.ask()
                seen.append(Seen(began_s, time.monotonic() - began_s, what))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield seen
        finally:
            over.set()
            watcher.join()

    def survive(self, fault: "Fault", hold_s: float = HOLD_S) -> Survived:
        """Break something for a while, and see it mend."""
        with self.watched() as seen:
            began_s = time.monotonic()
            fault.begin(self)
            assert not takes_writes(getattr(self, fault.server)), "it is broken"
            time.sleep(hold_s)
            fault.end(self)
            ended_s = time.monotonic()
            eventually(lambda: settled(seen, ended_s), "served again, and no other answer since", within_s=BACK_S)
        during = [one for one in seen if began_s <= one.at_s < ended_s]
        after = [one for one in seen if one.at_s >= ended_s]
        refused = [one.at_s + one.took_s for one in after if one.what != SERVED]
        answers = Counter(one.what for one in during)
        return Survived(answers, max(one.took_s for one in seen), max(refused, default=ended_s) - ended_s)

    def stop(self) -> None:
        for server in (self.store, self.control):
            if server.process:
                server.process.send_signal(signal.SIGCONT)
        self.it.stop()
        self.store.stop()
        self.control.stop()


class Fault(NamedTuple):
    """How a server breaks and mends, and what the caller is answered instead meanwhile, soon or late."""

    server: str
    begin: Callable[[Shop], object]
    end: Callable[[Shop], object]
    instead: set[str]


def takes_writes(server: RedisServer) -> bool:
    try:
        with Redis(port=server.port, socket_timeout=0.2) as client:
            client.set("probe", 1)
    except RedisError:
        return False
    return True


def settled(seen: list[Seen], since_s: float) -> bool:
    """Whether the last reads, all of them later, were served."""
    last = seen[-SETTLED:]
    return len(last) == SETTLED and all(one.what == SERVED and one.at_s > since_s for one in last)


def signalled(name: str, number: signal.Signals) -> Callable[[Shop], None]:
    def send(shop: Shop) -> None:
        process = getattr(shop, name).process
        assert process is not None
        process.send_signal(number)

    return send


def told(*command: str) -> Callable[[Shop], None]:
    def tell(shop: Shop) -> None:
        with Redis(port=shop.store.port) as client:
            client.execute_command(*command)

    return tell


AWAY, UNVOUCHED = "503", "store_unvouched"
FAULTS: Mapping[str, Fault] = {
    "store_silent": Fault(
        "store", signalled("store", signal.SIGSTOP), signalled("store", signal.SIGCONT), {AWAY, UNVOUCHED}
    ),
    "store_killed": Fault("store", lambda shop: shop.store.kill(), lambda shop: shop.store.start(), {AWAY, UNVOUCHED}),
    "store_full": Fault(
        "store", told("CONFIG", "SET", "maxmemory", "1"), told("CONFIG", "SET", "maxmemory", "0"), {UNVOUCHED}
    ),
    "store_read_only": Fault(
        "store", told("REPLICAOF", "127.0.0.1", "1"), told("REPLICAOF", "NO", "ONE"), {UNVOUCHED, AWAY}
    ),
    "control_silent": Fault(
        "control", signalled("control", signal.SIGSTOP), signalled("control", signal.SIGCONT), set()
    ),
    "control_killed": Fault("control", lambda shop: shop.control.kill(), lambda shop: shop.control.start(), set()),
}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rapport-faults-"))
    shop = Shop(folder)
    figures: dict[str, float] = {}
    try:
        for name, fault in FAULTS.items():
            rounds = [shop.survive(fault) for _ in range(3)]
            figures |= {
                f"{name}_times": len(rounds),
                f"{name}_s": median(one.back_s for one in rounds),
                f"{name}_worst_s": max(one.back_s for one in rounds),
                f"{name}_longest_answer_ms": 1000 * max(one.longest_s for one in rounds),
            }
            print(name, dict(sum((one.answers for one in rounds), Counter())), flush=True)
    finally:
        shop.stop()
    shutil.rmtree(folder)
    print(results.write("faults", figures, "python -m tests.system.faults"))


if __name__ == "__main__":
    main()
