"""Proof of privacy, with figures: ``make prove-privacy``.

    python -m bench.privacy [--only search amounts reads] [--events 1000 1000000]

With ``--only`` or ``--events`` no results file is written: a figure is written by the run that measured all of them.
"""

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from bench.privacy import amounts, reads
from bench.privacy.passage import Passage
from bench.privacy.servers import STATING_TIMES, running_passage
from devservers import results
from devservers.kafka.broker import Broker
from devservers.server import running

PARTS = ["search", "amounts", "reads"]
EVENTS = [1_000, 1_000_000]
BEGAN_S = time.monotonic()


def say(line: str) -> None:
    print(f"{time.monotonic() - BEGAN_S:7.1f} s  {line}", flush=True)


def search_figures(passage: Passage) -> dict[str, float]:
    """A person is everywhere, is erased, and is searched for. Fails if anything is not found before."""
    ann, bob = (passage.person(f"{name}-{secrets.token_hex(4)}", f"Kästrel/{secrets.token_hex(6)}") for name in "ab")
    for person in (ann, bob):
        passage.bring_in(person)
    say("brought in")
    found, _ = passage.found_before(ann)
    say(f"{len(found)} canaries found in {len(passage.owners.patterns)} data locations")
    passage.shorten(*STATING_TIMES)
    passage.erase(ann)
    say("the erasure is closed")
    passage.clean()
    traces = passage.wait_until_gone(ann)
    for trace in traces:
        say(f"left: {trace}")
    assert passage.served(bob), "the other customer is not served any more"
    return {
        "locations": len(passage.owners.patterns),
        "canaries_found_before": len(found),
        "traces_left": len(traces),
        "bytes_searched": passage.bytes_searched,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--events", nargs="+", type=int, default=EVENTS)
    options = parser.parse_args()
    complete = (options.only, options.events) == (PARTS, EVENTS)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="rapport-privacy-") as name:
        folder = Path(name)
        with (
            running(Broker(folder / "kafka")) as broker,
            running_passage(folder, broker, all_topics=True, say=say) as passage,
        ):
            say("servers and processes run")
            if "search" in options.only:
                figures |= search_figures(passage)
            if "amounts" in options.only:
                for events in options.events:
                    figures |= amounts.figures_of(passage, events)
            if "reads" in options.only:  # last: its erasures wait for the stated times
                passage.lengthen(*STATING_TIMES)
                figures |= reads.figures_of(passage)
    written = complete and not figures["traces_left"]
    results.report("privacy", figures, write_it=written, command="make prove-privacy")
    if figures.get("traces_left"):
        sys.exit("traces are left")


if __name__ == "__main__":
    main()
