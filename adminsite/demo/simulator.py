"""The simulated shop's process: it tells Kafka what happens, and the API what customers decide.

python -m adminsite.demo.simulator CREDENTIALS --rate 20
"""

import argparse
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from adminsite.demo.api import Api
from adminsite.demo.credentials import Credentials
from adminsite.demo.simulated_shop import Decision, ShopAction, CustomerEvent, SimulatedShop
from featurestore.catalog import registry
from featurestore.config import settings
from featurestore.ingest.bulk_sender import BulkEventSender

PROGRESS_S = 5.0
SERVICES = {"service": "support_chat", "personalisation": "sales_chat"}


class Simulator:
    """Does deeds at a rate, and counts what came of them."""

    def __init__(self, sender: BulkEventSender, api: Api, notice: str) -> None:
        self.sender, self.api, self.notice = sender, api, notice
        self.run = secrets.token_hex(4)
        self.counts: Counter[str] = Counter()
        self.news = ""

    def do(self, deed: ShopAction) -> None:
        if isinstance(deed, CustomerEvent):
            self.tell(deed)
        else:
            self.decide(deed)

    def tell(self, happening: CustomerEvent) -> None:
        customer_id, source, data = happening
        event_id = f"{self.run}-{self.sender.sent}"
        self.sender.send(source, customer_id, id=event_id, origin="shop/simulated", time=datetime.now(UTC), data=data)
        self.counts[source.name] += 1

    def decide(self, decision: Decision) -> None:
        """Record a decision; after a withdrawal look at once whether it holds."""
        customer_id, purpose, what = decision
        reply = self.api.decide(customer_id, purpose, what, self.notice)
        if reply.status not in (201, 202):
            self.counts["refused"] += 1
            self.news = f"{customer_id}'s decision was not recorded: {reply.status} {reply.body.get('detail', '')}"
            return
        self.counts[what] += 1
        self.news = f"{customer_id} has {what} {purpose}"
        if what == "withdrawn":
            views = self.api.read(customer_id, SERVICES[purpose], purpose).body.get("views", {})
            shown = [name for name, view in views.items() if view["status"] != "withheld"]
            self.counts["leaked" if shown else "withheld"] += 1
            self.news += ", and the next read was withheld" if views and not shown else f", BUT A READ SHOWED {shown}"

    def progress(self, took_s: float) -> str:
        counts = self.counts
        told = ", ".join(f"{source} {counts[source]:,}" for source in registry.sources)
        decided = f"{counts['given']} given, {counts['withdrawn']} withdrawn, {counts['leaked']} leaked"
        rate = f"{self.sender.sent:,} events, {self.sender.sent / took_s:.0f}/s"
        news, self.news = self.news, ""
        return f"{datetime.now(UTC):%H:%M:%S}  {rate} ({told})  |  consents: {decided}  |  {news}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m adminsite.demo.simulator")
    parser.add_argument("credentials", type=Path)
    parser.add_argument("--rate", type=float, default=20, help="deeds a second")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    known = Credentials.load(chosen.credentials)
    simulator = Simulator(BulkEventSender(settings()), Api(known.url, known.api_key), known.notice)
    began = shown = time.monotonic()
    for done, deed in enumerate(SimulatedShop(known.customers, chosen.seed).actions(), 1):
        simulator.do(deed)
        now = time.monotonic()
        if now - shown > PROGRESS_S:
            shown = now
            sys.stdout.write(simulator.progress(now - began) + "\n")
            sys.stdout.flush()
        if stop.wait(max(0.0, began + done / chosen.rate - now)):
            break
    simulator.sender.flush()


if __name__ == "__main__":
    main()
