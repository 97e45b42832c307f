"""A republish: everything is put into the store again, though it did not lose it.

A claim of NEW_INCARNATION_EPOCH says that a node's run is being filled. The voucher then puts every permission into it from the
database, and vouches for a new incarnation; the workers find their watermarks to be of another incarnation, and push every value again
from their tables (streams.republisher). Reads are denied from the end of the voucher's last word until its next one, and
stale until a partition has been pushed.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from featurestore.store.protocol import NEW_INCARNATION_EPOCH, OnlineStore, StoreUnavailable
from streams.retrying_store import READ_TIMEOUT_MS

EVERY_S = 0.5
PATIENCE_S = 15  # without progress, it says who may be missing

Say = Callable[[str], None]


class Progress(NamedTuple):
    """``nodes`` that are vouched for anew, and ``partitions`` that are pushed whole, each node's counted."""

    nodes: int
    partitions: int


def republish(
    store: OnlineStore, partitions: Sequence[tuple[str, int]], say: Say, pause: Callable[[float], None] = time.sleep
) -> None:
    """Begin it, and tell how it goes until it is done. ``partitions`` are the (source, partition) pairs there are.

    Raises StoreUnavailable if it can't begin; what comes later is waited for.
    """
    nodes = store.nodes()
    before = {node.incarnation for node in store.read((), (), partitions, READ_TIMEOUT_MS).nodes}
    for node in nodes:
        node.write_claim(node.run(), NEW_INCARNATION_EPOCH, 0)
    whole, now, waited_s = Progress(len(nodes), len(nodes) * len(partitions)), Progress(-1, -1), 0.0
    while now != whole:
        reached = progress(store, partitions, before)
        if reached != now:
            now, waited_s = reached, 0
            say(f"vouched for {now.nodes} of {whole.nodes}; pushed {now.partitions} of {whole.partitions} partitions")
        elif (waited_s := waited_s + EVERY_S) % PATIENCE_S < EVERY_S:
            missing = "`manage.py verify_store`" if now.nodes < whole.nodes else "a stream worker for every partition"
            say(f"no progress for {waited_s:.0f} s. Is {missing} running?")
        if now != whole:
            pause(EVERY_S)


def progress(store: OnlineStore, partitions: Sequence[tuple[str, int]], before: set[str]) -> Progress:
    """How far it is; nothing while the store does not answer. ``before`` are the fills that are to be replaced."""
    try:
        nodes = store.read((), (), partitions, READ_TIMEOUT_MS).nodes
    except StoreUnavailable:
        return Progress(0, 0)
    anew = [node for node in nodes if node.incarnation and node.incarnation not in before]
    return Progress(
        len(anew),
        sum(watermark is not None and watermark.incarnation == node.incarnation for node in anew for watermark in node.watermarks),
    )
