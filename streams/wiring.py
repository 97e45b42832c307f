"""What this installation's workers do: a folder a source of the catalog, the rounds, the marks."""

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
    folders = {
        names.events(source.name, generation): SourceProcessor(
            source,
            registry,
            app.state_tables[source.name],
            generation=generation,
            partitions=settings.partitions,
        )
        for source in registry.sources.values()
    }
    rounds = MicroBatchProcessor(folders, gate, app.dead_letters)
    rebuilds = Republisher(app.lanes, gate)
    marks = WatermarkPublisher(folders, app.lanes, gate, rebuilds, generation)
    return Pipeline(
        topics=[*folders, names.purge(generation)],
        handle=rounds.handle,
        publish=marks.publish,
        waiting_for=lambda: gate.waiting_for or rebuilds.reason,
    )
