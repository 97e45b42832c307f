"""Republisher: few republications push at once."""

import asyncio
import threading
from collections.abc import Sequence

import pytest
from faust.types import TP

from featurestore.permission import Permission, PurposePermission
from featurestore.store.protocol import FieldWrite, WriteOutcome
from streams.republisher import CONCURRENT_PUSHES, Republisher
from tests.streams.environment import ANN, BOB, TOPIC, ProcessingEnvironment

pytestmark = pytest.mark.anyio


async def test_republications_push_few_partitions_at_once() -> None:
    env, partitions = ProcessingEnvironment(), [TP(TOPIC, number) for number in range(8)]
    permission = Permission(1, 1, {"service": PurposePermission(True, 1, 0)})
    env.store.publish_permissions({ANN: permission, BOB: permission})
    await env.micro_batches.handle([env.batch(env.record(env.raw(ANN)), env.record(env.raw(BOB), BOB))])
    writing, most, lock, write = 0, 0, threading.Lock(), env.store.write
    full = threading.Barrier(CONCURRENT_PUSHES)

    def counted(writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        nonlocal writing, most
        with lock:
            writing += 1
            most = max(most, writing)
        full.wait(5)  # until as many as may write at once do
        with lock:
            writing -= 1
        return write(writes, now_ms)

    env.store.write = counted  # type: ignore[method-assign]
    (node,) = env.store.nodes()
    republisher = Republisher(env.queues, env.retrying, lambda: env.now_ms)
    env.queues.restart(dict.fromkeys(partitions, 2))
    for tp in partitions:  # they share the table of the test
        republisher.start(tp, env.processor, node, "an incarnation")
    async with asyncio.timeout(10):
        while republisher.reason:
            await asyncio.sleep(0)
    assert most == CONCURRENT_PUSHES
    assert all(republisher.has_republished(tp, node, "an incarnation") for tp in partitions)
