"""A worker whose handler counts: by key, the number and sum of its events, in the state table.

    python -m tests.kafka.counting SOURCE...       settings from the environment

A value of ``poison`` raises. Each handled bundle is a line on standard output.
"""

import json
import sys

from featurestore.config import settings
from streams import names
from streams.app import App, Work
from streams.bundles import Bundle
from streams.freshness import Marks
from streams.lanes import Handler
from streams.worker import run


def counter(app: App, source: str) -> Handler:
    table = app.state_tables[source]

    async def count(bundle: Bundle) -> None:
        kept = table.get_many(bundle.partition, {record.key for record in bundle.records})
        state = {key: json.loads(value) for key, value in kept.items()}
        for record in bundle.records:
            if record.value == b"poison":
                raise ValueError("poison")
            mine = state.setdefault(record.key, {"count": 0, "sum": 0, "offset": -1})
            if record.offset > mine["offset"]:
                mine["count"] += 1
                mine["sum"] += int(record.value)
                mine["offset"] = record.offset
        await table.commit(bundle.partition, {key: json.dumps(value).encode() for key, value in state.items()})
        say("handled", source, bundle.partition, bundle.start, bundle.last_offset, len(bundle))

    return count


async def ignore(bundle: Bundle) -> None:
    say("purge", bundle.partition, len(bundle))


def say(*words: object) -> None:
    print(*words, flush=True)


async def fresh(marks: Marks) -> None:
    for (topic, partition), until_ms in marks.items():
        say("fresh", topic, partition, until_ms)


def main(sources: list[str]) -> None:
    conf = settings()

    def work(app: App) -> Work:
        by_topic = {names.events(source, conf.generation): counter(app, source) for source in sources}
        return Work({**by_topic, names.purge(conf.generation): ignore}, publish=fresh)

    run(conf, sources, work)


if __name__ == "__main__":
    main(sys.argv[1:])
