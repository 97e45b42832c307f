"""What this installation's workers do: a processor a source of the catalog, the rounds, the watermarks."""

from featurestore import names
from featurestore.config import Settings
from featurestore.definitions import Registry
from featurestore.store.protocol import OnlineStore
from streams.app import App, Pipeline
from streams.processing import SourceProcessor, MicroBatchProcessor
from streams.retrying_store import RetryingStore
from streams.watermarks import WatermarkPublisher
from streams.republisher import Republisher


def build_pipeline(app: App, settings: Settings, registry: Registry, store: OnlineStore) -> Pipeline:
    """The build_pipeline of one worker on its tables, for ``streams.app.create_app``."""
    gate = RetryingStore(store)
    generation = settings.generation
    processors = {
        names.events(source.name, generation): SourceProcessor(
            source,
            registry,
            app.state_tables[source.name],
            generation=generation,
            partitions=settings.partitions,
        )
        for source in registry.sources.values()
    }
    rounds = MicroBatchProcessor(processors, gate, app.dead_letters)
    republisher = Republisher(app.partition_queues, gate)
    watermarks = WatermarkPublisher(processors, app.partition_queues, gate, republisher, generation)
    return Pipeline(
        topics=[*processors, names.purge(generation)],
        handle=rounds.handle,
        publish=watermarks.publish,
        waiting_for=lambda: gate.waiting_for or republisher.reason,
    )
