"""Process of simulated customers: sends events to Kafka, and consent decisions to the API.

python -m adminsite.demo.simulator CREDENTIALS --rate 20
"""

import argparse
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from adminsite.demo.api import ApiClient
from adminsite.demo.credentials import Credentials
from adminsite.demo.random_events import NoRandomEvents, random_actions
from featurestore.config import settings
from featurestore.definitions.simulation import Action, ConsentDecision, CustomerEvent
from featurestore.ingest.bulk_sender import BulkEventSender
from featurestore.installed_catalog import catalog

PROGRESS_S = 5.0


class Simulator:
    """Carries out actions and counts their results."""

    def __init__(self, sender: BulkEventSender, api: ApiClient, notice: str) -> None:
        self.sender, self.api, self.notice = sender, api, notice
        self.run = secrets.token_hex(4)
        self.counts: Counter[str] = Counter()
        self.latest = ""

    def run_action(self, action: Action) -> None:
        if isinstance(action, CustomerEvent):
            self.send_event(action)
        else:
            self.record_decision(action)

    def send_event(self, event: CustomerEvent) -> None:
        customer_id, source, data = event
        event_id = f"{self.run}-{self.sender.sent}"
        self.sender.send(source, customer_id, id=event_id, origin="shop/simulated", time=datetime.now(UTC), data=data)
        self.counts[source.name] += 1

    def record_decision(self, decision: ConsentDecision) -> None:
        """Record a decision; after a withdrawal read at once, and count a leak if values are served."""
        customer_id, purpose, what = decision
        reply = self.api.record_decision(customer_id, purpose, what, self.notice)
        if reply.status not in (201, 202):
            self.counts["refused"] += 1
            self.latest = f"{customer_id}'s decision was not recorded: {reply.status} {reply.body.get('detail', '')}"
            return
        self.counts[what] += 1
        self.latest = f"{customer_id} has {what} {purpose}"
        if what == "withdrawn" and reply.status == 201:  # 202: the store was unavailable, and may not deny yet
            answer = self.api.read_features(customer_id, service_of(purpose), purpose).body
            views, features = answer.get("views", {}), answer.get("features", {})
            shown = [name for name, view in views.items() if view["status"] != "withheld"]
            shown += [name for name, value in features.items() if value is not None]
            self.counts["leaked" if shown else "withheld" if views else "unread"] += 1
            if shown:
                self.latest += f", BUT A READ SHOWED {shown}"
            else:
                self.latest += ", and the next read was withheld" if views else ", and the next read was not answered"

    def progress(self, took_s: float) -> str:
        counts = self.counts
        sources = ", ".join(f"{source} {counts[source]:,}" for source in catalog().registry.sources)
        decisions = f"{counts['given']} given, {counts['withdrawn']} withdrawn, {counts['leaked']} leaked"
        rate = f"{self.sender.sent:,} events, {self.sender.sent / took_s:.0f}/s"
        latest, self.latest = self.latest, ""
        return f"{datetime.now(UTC):%H:%M:%S}  {rate} ({sources})  |  consents: {decisions}  |  {latest}"


def service_of(purpose: str) -> str:
    """The service that is usually read for a purpose, or else the first one."""
    services = catalog().registry.services
    return next((name for name, service in services.items() if service.purpose == purpose), next(iter(services)))


def simulated_actions(customer_ids: list[str], random: Random) -> Iterator[Action]:
    """The actions of the catalog's own simulation, or random ones. Raises NoRandomEvents."""
    simulation = catalog().part("simulation")
    if simulation is None:
        return random_actions(catalog(), customer_ids, random)
    actions: Iterator[Action] = simulation.actions(customer_ids, random)
    return actions


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m adminsite.demo.simulator")
    parser.add_argument("credentials", type=Path)
    parser.add_argument("--rate", type=float, default=20, help="actions a second")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    credentials = Credentials.load(arguments.credentials)
    try:
        actions = simulated_actions(credentials.customers, Random(arguments.seed))
    except NoRandomEvents as error:
        sys.exit(str(error))
    api = ApiClient(credentials.url, credentials.api_key)
    simulator = Simulator(BulkEventSender(settings()), api, credentials.notice)
    began = shown = time.monotonic()
    for done, action in enumerate(actions, 1):
        simulator.run_action(action)
        now = time.monotonic()
        if now - shown > PROGRESS_S:
            shown = now
            sys.stdout.write(simulator.progress(now - began) + "\n")
            sys.stdout.flush()
        if stop.wait(max(0.0, began + done / arguments.rate - now)):
            break
    simulator.sender.flush()


if __name__ == "__main__":
    main()
