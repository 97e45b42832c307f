"""Our worker with a handler that only prints the partition of each fetch batch, a line each.

python -m bench.contestants.handling SOURCE      settings from the environment
"""

import sys
from collections.abc import Sequence

from featurestore import names
from featurestore.config import settings
from streams.app import Pipeline
from streams.fetch_batches import FetchBatch
from streams.worker import run


async def handle(batches: Sequence[FetchBatch]) -> None:
    for batch in batches:
        print(batch.partition, flush=True)


def main(source: str) -> None:
    generation = settings().generation
    topics = [names.events(source, generation), names.purge(generation)]
    run(settings(), [source], lambda _app: Pipeline(topics, handle))


if __name__ == "__main__":
    main(sys.argv[1])
