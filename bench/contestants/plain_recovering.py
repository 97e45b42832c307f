"""A Faust user's worker that recovers a table of raw bytes and prints the same lines as ours.

``PLAIN_TOPIC``, ``PLAIN_KAFKA``, ``PLAIN_DATA`` and ``PLAIN_PARTITIONS`` name its surroundings.
"""

import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import faust

app = faust.App(
    os.environ["PLAIN_TOPIC"],
    broker=f"kafka://{os.environ['PLAIN_KAFKA']}",
    datadir=os.environ["PLAIN_DATA"],
    store="rocksdb://?driver=rocksdict",
    topic_partitions=int(os.environ["PLAIN_PARTITIONS"]),
    web_enabled=False,
    broker_max_poll_records=2_000,
)
topic = app.topic(os.environ["PLAIN_TOPIC"], key_serializer="raw", value_serializer="raw")
table = app.Table("state", partitions=int(os.environ["PLAIN_PARTITIONS"]), key_type=bytes, value_type=bytes)


@app.agent(topic)
async def nothing(stream: Any) -> AsyncIterator[None]:
    async for _ in stream:
        yield


@app.on_partitions_assigned.connect(weak=False)
async def assigned(_app: Any, *_partitions: Any, **_options: Any) -> None:
    print("\nassigned", file=sys.__stdout__, flush=True)


@app.on_rebalance_complete.connect(weak=False)
async def recovered(_app: Any, **_options: Any) -> None:
    print("\nrecovered", file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    app.main()
