"""Command that has every permission and value pushed to the store again, though the store did not lose them.

The command claims each node's run with NEW_INCARNATION_EPOCH. Then the store verifier publishes every permission from
the database to the node and vouches for a new incarnation. The workers find their watermarks to name another
incarnation and push every value again from their tables (``streams.republisher``). Reads are denied from the expiry of
the verifier's last vouch key until its next one, and stale until their partition has been pushed.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from featurestore.store.protocol import NO_LEASE, Node, OnlineStore, StoreUnavailable, new_incarnation
from streams.retrying_store import READ_TIMEOUT_MS

POLL_S = 0.5
ATTEMPTS = 20
HINT_S = 15  # without progress; then the process that may be missing is named

Report = Callable[[str], None]


class RepublishProgress(NamedTuple):
    """Numbers of ``nodes`` with a new incarnation, and of ``partitions`` pushed to them, each node's counted."""

    nodes: int
    partitions: int


def republish(
    store: OnlineStore,
    partitions: Sequence[tuple[str, int]],
    report: Report,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Claim the nodes, and report progress until it is done. ``partitions``: all (source, partition) pairs.

    Raises StoreUnavailable if the store is unavailable at first; later it waits for the store.
    """
    nodes = store.nodes()
    before = {node.incarnation for node in store.read((), (), partitions, READ_TIMEOUT_MS).nodes}
    for node in nodes:
        _begin_incarnation(node)
    goal, now, waited_s = RepublishProgress(len(nodes), len(nodes) * len(partitions)), RepublishProgress(-1, -1), 0.0
    while now != goal:
        reached = progress(store, partitions, before)
        if reached != now:
            now, waited_s = reached, 0
            report(f"vouched for {now.nodes} of {goal.nodes}; pushed {now.partitions} of {goal.partitions} partitions")
        elif (waited_s := waited_s + POLL_S) % HINT_S < POLL_S:
            missing = "`manage.py verify_store`" if now.nodes < goal.nodes else "a stream worker for every partition"
            report(f"no progress for {waited_s:.0f} s. Is {missing} running?")
        if now != goal:
            pause(POLL_S)


def _begin_incarnation(node: Node) -> None:
    """Replace the node's claim. The store verifier may replace it too, each time a permission changes."""
    for _ in range(ATTEMPTS):
        claim = node.vouching_record().claim
        if node.write_claim(new_incarnation(node.run(), claim.lease if claim else NO_LEASE), claim):
            return
    raise StoreUnavailable("the store claim changes again and again: repeat the command when fewer permissions change")


def progress(store: OnlineStore, partitions: Sequence[tuple[str, int]], before: set[str]) -> RepublishProgress:
    """How far it is; (0, 0) while the store does not answer. ``before``: the incarnations to be replaced."""
    try:
        nodes = store.read((), (), partitions, READ_TIMEOUT_MS).nodes
    except StoreUnavailable:
        return RepublishProgress(0, 0)
    renewed = [node for node in nodes if node.incarnation and node.incarnation not in before]
    return RepublishProgress(
        len(renewed),
        sum(
            watermark is not None and watermark.incarnation == node.incarnation
            for node in renewed
            for watermark in node.watermarks
        ),
    )
