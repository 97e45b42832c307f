"""The same job as a Faust user writes it: an agent, a table with its changelog, a Redis pipeline now and then.

``PLAIN_TOPIC``, ``PLAIN_KAFKA``, ``PLAIN_REDIS`` and ``PLAIN_DATA`` name its surroundings.
"""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import faust
from redis.asyncio import Redis

from bench.contestants.tiles import update

MOST, EVERY_S = 500, 0.02  # results that wait for one pipeline, and how long

app = faust.App(
    os.environ["PLAIN_TOPIC"],
    broker=f"kafka://{os.environ['PLAIN_KAFKA']}",
    datadir=os.environ["PLAIN_DATA"],
    store="rocksdb://?driver=rocksdict",
    topic_partitions=4,
    web_enabled=False,
    broker_max_poll_records=2_000,
    producer_linger_ms=5,
)
topic = app.topic(os.environ["PLAIN_TOPIC"], key_type=bytes, key_serializer="raw", value_serializer="json")
table = app.Table("spend", default=dict, partitions=4)
redis: Redis = Redis.from_url(os.environ["PLAIN_REDIS"])


waiting: dict[str, dict[str, int]] = {}


@app.agent(topic)
async def fold(stream: Any) -> AsyncIterator[None]:
    async for event in stream:
        subject, at_s = event["subject"], int(datetime.fromisoformat(event["time"]).timestamp())
        state = table[subject]
        waiting[subject] = update(state, at_s, round(float(event["data"]["amount"]) * 100))
        table[subject] = state
        if len(waiting) >= MOST:
            await push()
        yield None


@app.timer(EVERY_S)
async def push() -> None:
    pipeline = redis.pipeline(transaction=False)
    for subject, features in waiting.items():
        pipeline.hset(f"plain:{subject}", mapping=features)
    waiting.clear()
    await pipeline.execute()


if __name__ == "__main__":
    app.main()
