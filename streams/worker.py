"""Process of a worker: logs, event loop, checks of the cluster, then Faust until it ends."""

import gc
import logging
import sys
from collections.abc import Callable, Iterable
from functools import partial

import faust
import mode.loop

from featurestore.config import Settings
from featurestore.logs import configure_logs
from streams import topics
from streams.app import App, Pipeline, create_app
from streams.member import member_id

VERBOSE_LOGGERS = ("aiokafka", "faust", "mode")
SWITCH_INTERVAL_S = 0.0005
GC_THRESHOLDS = (50_000, 20, 50)  # a fetch batch makes tens of thousands of objects, none of them in a cycle


class Worker(faust.Worker):
    """Faust's worker, without a progress spinner and without a pause at its end."""

    def __init__(self, app: App) -> None:
        super().__init__(app, quiet=True, override_logging=False)
        self.spinner = None

    async def _sentinel_task(self) -> None:
        """Mode sleeps a second here, after everything is closed."""


def run(settings: Settings, sources: Iterable[str], build_pipeline: Callable[[App], Pipeline]) -> None:
    """Run until SIGTERM (offsets committed, exit 0) or an error (exit 70, nothing committed past it)."""
    sources = list(sources)
    configure_logs(settings.log_level)
    for name in VERBOSE_LOGGERS:  # Faust's tables and banners only when debugging
        logging.getLogger(name).setLevel("DEBUG" if settings.log_level == "DEBUG" else "WARNING")
    settings = settings.model_copy(
        update={"stream_member": member_id(settings.stream_member, settings.stream_data_dir)}
    )
    topics.wait_for_cluster(settings)
    topics.check(settings, sources)
    mode.loop.use("uvloop")
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)  # every fetch goes from the consumer's thread to the loop's and back
    describe_topics = partial(topics.describe, settings)
    app = create_app(topics.with_allowed_session(settings), sources, build_pipeline, describe_topics)
    gc.freeze()  # Faust collects all garbage at each rebalance, for each table: 0.1 s each with our modules among it
    Worker(app).execute_from_commandline()
