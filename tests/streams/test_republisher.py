"""Republisher: beside the rounds, few at once."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from faust.types import TP

from featurestore.permission import PurposePermission, Permission
from featurestore.store.protocol import FieldWrite, WriteOutcome
from streams.republisher import AT_ONCE, Republisher
from tests.streams.test_processing import ANN, BOB, TOPIC, Shop

pytestmark = pytest.mark.anyio


async def test_few_partitions_are_pushed_at_once() -> None:
    shop, partitions = Shop(), [TP(TOPIC, number) for number in range(8)]
    permission = Permission(1, 1, {"service": PurposePermission(True, 1, 0)})
    shop.store.publish_permissions({ANN: permission, BOB: permission})
    await shop.rounds.handle([shop.bundle(shop.record(shop.raw(ANN)), shop.record(shop.raw(BOB), BOB))])
    writing, most, lock, write = 0, 0, threading.Lock(), shop.store.write
    full = threading.Barrier(AT_ONCE)

    def counted(writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        nonlocal writing, most
        with lock:
            writing += 1
            most = max(most, writing)
        full.wait(5)  # all that may be under way are
        with lock:
            writing -= 1
        return write(writes, now_ms)

    shop.store.write = counted  # type: ignore[method-assign]
    (node,) = shop.store.nodes()
    rebuilds = Republisher(shop.lanes, shop.gate, lambda: shop.now_ms)
    shop.lanes.restart(dict.fromkeys(partitions, 2))
    for tp in partitions:  # the table of the test is the same for all
        rebuilds.start(tp, shop.folder, node, "fill")
    async with asyncio.timeout(10):
        while rebuilds.reason:
            await asyncio.sleep(0)
    assert most == AT_ONCE
    assert all(rebuilds.whole(tp, node, "fill") for tp in partitions)
