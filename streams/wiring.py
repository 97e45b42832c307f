"""Assembly of a worker's pipeline: a processor for each source, micro-batches, republisher, watermarks."""

from featurestore import names
from featurestore.config import Settings
from featurestore.definitions import Registry
from featurestore.store.protocol import OnlineStore
from streams.app import App, Pipeline
from streams.evictions import IdleSubjects
from streams.passed_by import PassedByWriter
from streams.processing import MicroBatchProcessor, SourceProcessor, clock_ms
from streams.republisher import Republisher
from streams.retrying_store import RetryingStore
from streams.watermarks import WatermarkPublisher

DAY_S = 86_400


def build_pipeline(app: App, settings: Settings, registry: Registry, store: OnlineStore) -> Pipeline:
    """The pipeline of one worker on its tables, for ``streams.app.create_app``."""
    retrying_store = RetryingStore(store)
    generation = settings.generation
    processors = {
        names.events(source.name, generation): SourceProcessor(
            source,
            registry,
            app.state_tables[source.name],
            generation=generation,
            partitions=settings.partitions,
            first_ms=int(settings.generation_start.timestamp()) * 1000 if settings.generation_start else 0,
        )
        for source in registry.sources.values()
    }
    passed_by = PassedByWriter(settings.passed_by_topic, app.changelog) if settings.passed_by_topic else None
    micro_batches = MicroBatchProcessor(processors, retrying_store, app.dead_letters, passed_by=passed_by)
    idle = None
    if settings.idle_subject_days:
        tables = [processor.table for processor in processors.values()]
        idle = IdleSubjects(tables, settings.idle_subject_days * DAY_S, clock_ms)
    republisher = Republisher(app.partition_queues, retrying_store, idle=idle)
    watermarks = WatermarkPublisher(processors, app.partition_queues, retrying_store, republisher, generation)
    return Pipeline(
        topics=[*processors, names.purge(generation)],
        handle=micro_batches.handle,
        publish=watermarks.publish,
        purge=micro_batches.purge,
        waiting_for=lambda: retrying_store.waiting_for or republisher.reason,
    )
