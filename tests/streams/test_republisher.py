"""Republisher: beside the rounds, few at once."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from faust.types import TP

from featurestore.permission import Permission, PurposePermission
from featurestore.store.protocol import FieldWrite, WriteOutcome
from streams.republisher import CONCURRENT_PUSHES, Republisher
from tests.streams.test_processing import ANN, BOB, TOPIC, Shop

pytestmark = pytest.mark.anyio


async def test_few_partitions_are_pushed_at_once() -> None:
    shop, partitions = Shop(), [TP(TOPIC, number) for number in range(8)]
    permission = Permission(1, 1, {"service": PurposePermission(True, 1, 0)})
    shop.store.publish_permissions({ANN: permission, BOB: permission})
    await shop.micro_batches.handle([shop.batch(shop.record(shop.raw(ANN)), shop.record(shop.raw(BOB), BOB))])
    writing, most, lock, write = 0, 0, threading.Lock(), shop.store.write
    full = threading.Barrier(CONCURRENT_PUSHES)

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
    republisher = Republisher(shop.queues, shop.retrying, lambda: shop.now_ms)
    shop.queues.restart(dict.fromkeys(partitions, 2))
    for tp in partitions:  # the table of the test is the same for all
        republisher.start(tp, shop.processor, node, "incarnation")
    async with asyncio.timeout(10):
        while republisher.reason:
            await asyncio.sleep(0)
    assert most == CONCURRENT_PUSHES
    assert all(republisher.has_republished(tp, node, "incarnation") for tp in partitions)
