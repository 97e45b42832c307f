"""Our worker with nothing to fold: it recovers one source's table and prints a line at assignment and recovery.

python -m bench.contestants.recovering SOURCE      settings from the environment
"""

import sys
from collections.abc import Sequence
from typing import Any

from featurestore import names
from featurestore.config import settings
from streams.app import App, Pipeline
from streams.fetch_batches import FetchBatch
from streams.worker import run


async def nothing(batches: Sequence[FetchBatch]) -> None:
    """There are no events."""


def main(source: str) -> None:
    conf = settings()

    def build_pipeline(app: App) -> Pipeline:
        @app.on_partitions_assigned.connect(weak=False)
        async def assigned(_app: Any, *_partitions: Any, **_options: Any) -> None:
            print("assigned", flush=True)

        @app.on_rebalance_complete.connect(weak=False)
        async def recovered(_app: Any, **_options: Any) -> None:
            print("recovered", flush=True)

        return Pipeline([names.events(source, conf.generation), names.purge(conf.generation)], nothing)

    run(conf, [source], build_pipeline)


if __name__ == "__main__":
    main(sys.argv[1])
