"""Processor time of each view by itself: microseconds to fold an event, and to read a customer's features.

    python -m bench.views [taste loyalty ...] [--other CHECKOUT]

Orders are those of the retail data's customers, one event of each in turn, as at scale; everything else is an hour of
the simulated shop. The streams' and the reader's own code runs in this process, without any server. A figure is the
best of several rounds. With ``--other`` the same is measured in another checkout, which needs nothing for it, in turns;
the ratio of the two is printed: below 1, this checkout takes less.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from bench.catalog import BUSIEST, spread
from bench.populations import TimedEvent, busiest, demo_hour, retail
from devservers.results import ROOT
from featurestore.catalog import registry
from featurestore.definitions.view import FeatureView
from featurestore.permission import PurposePermission
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.layout_id import layout_id_of
from featurestore.tiles.state_record import StateRecord
from featurestore.tiles.stored_field import pack_field
from featurestore.tiles.view_codec import ViewCodec
from featurestore.tiles.view_reader import WindowQuery, open_view

FOLD_ROUNDS, READ_ROUNDS, TURNS = 3, 40, 3
EVENTS, CUSTOMERS = 12_000, 300
SUBJECT = "0" * 32


def best_us(act: Callable[[], object], times: int, rounds: int) -> float:
    """Microseconds of processor time of each of so many times, in the best round."""
    best = float("inf")
    for _ in range(rounds):
        began_s = time.process_time()
        act()
        best = min(best, time.process_time() - began_s)
    return best / times * 1e6


def population() -> list[TimedEvent]:
    """Some events of every source, in the order in which they are folded."""
    orders = retail()
    chosen = set(islice(dict.fromkeys(one.customer_id for one in orders), CUSTOMERS))
    shop = [one for one in busiest(demo_hour(), BUSIEST) if one.source.name != "orders"]
    return [*spread([one for one in orders if one.customer_id in chosen]), *shop]


def measured(view: FeatureView, events: Iterable[TimedEvent]) -> dict[str, float]:
    """The figures of one view."""
    source, arrivals = view.source, []
    of_source = [one for one in events if one.source.name == source.name][:EVENTS]
    for offset, one in enumerate(of_source):
        raw = source.encode(id=str(offset), source="bench", subject=SUBJECT, time=one.at, data=one.data)
        event = source.decode(raw)
        arrivals.append((one.customer_id, Arrival(offset, event.time_ms, event)))
    now_ms = max(arrival.event.time_ms for _, arrival in arrivals)
    fold, purpose = SourceFold([view]), min(view.purposes)
    permissions = {purpose: PurposePermission(True, 1, 0)}
    records: dict[str, StateRecord] = {}

    def fold_all() -> None:
        records.clear()
        for customer, arrival in arrivals:
            folded = fold.fold_events(
                records.get(customer) or StateRecord(),
                [arrival],
                permissions,
                coverage_starts_ms={view.fingerprint: 0},
                counts=Counter(),
            )
            records[customer] = folded.record

    fold_us = best_us(fold_all, len(arrivals), FOLD_ROUNDS)
    codec, layout_id = ViewCodec(view), layout_id_of(view.fingerprint, 0)
    query = WindowQuery(codec, view.features)
    fields = [
        pack_field(1, record.offset, 1, codec.suffix_aggregates(record.views[view.name][0].tiles))
        for record in records.values()
        if view.name in record.views
    ]

    def read_all() -> None:
        for field in fields:
            if opened := open_view(codec, field, layout_id):
                opened.values(query, now_ms)

    return {"fold": fold_us, "read": best_us(read_all, len(fields), READ_ROUNDS)}


def figures(names: Iterable[str]) -> dict[str, float]:
    events = population()
    return {f"{name}_{what}_us": us for name in names for what, us in measured(registry.views[name], events).items()}


def figures_of(checkout: Path, names: Sequence[str]) -> dict[str, float]:
    """The figures of a checkout, by this file, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = [sys.executable, __file__, *names, "--json"]
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compared(other: Path, names: Sequence[str]) -> list[dict[str, float]]:
    """The least figures of this checkout and of another, over some turns."""
    turns = [[figures_of(checkout, names) for checkout in (ROOT, other)] for _ in range(TURNS)]
    return [{name: min(turn[name] for turn in own) for name in own[0]} for own in zip(*turns, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", nargs="*", help="all by default", metavar="VIEW")
    parser.add_argument("--other", type=Path, help="another checkout to compare with")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    names = options.views or sorted(registry.views)
    if options.json:
        print(json.dumps(figures(names)))
        return
    found, other = compared(options.other.resolve(), names) if options.other else (figures(names), {})
    for name, us in found.items():
        ratio = f"{us / other[name]:>8.2f}" if name in other else ""
        print(f"{name:<28}{us:>8.1f}{ratio}")


if __name__ == "__main__":
    main()
