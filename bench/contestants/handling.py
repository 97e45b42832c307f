"""Our worker with a handler that only says which partition it handled, a line each, on standard output.

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
    for bundle in batches:
        print(bundle.partition, flush=True)


def main(source: str) -> None:
    generation = settings().generation
    topics = [names.events(source, generation), names.purge(generation)]
    run(settings(), [source], lambda _app: Pipeline(topics, handle))


if __name__ == "__main__":
    main(sys.argv[1])
