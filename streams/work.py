"""What this installation's workers do: a folder a source of the catalog, the rounds, the marks."""

from featurestore import names
from featurestore.config import Settings
from featurestore.definitions import Registry
from featurestore.store.protocol import OnlineStore
from streams.app import App, Work
from streams.fold import Folder, Rounds
from streams.gate import Gate
from streams.marks import Marks
from streams.rebuild import Rebuilds


def work(app: App, settings: Settings, registry: Registry, store: OnlineStore) -> Work:
    """The work of one worker on its tables, for ``streams.app.create_app``."""
    gate = Gate(store)
    generation = settings.generation
    folders = {
        names.events(source.name, generation): Folder(
            source,
            registry,
            app.state_tables[source.name],
            generation=generation,
            partitions=settings.partitions,
        )
        for source in registry.sources.values()
    }
    rounds = Rounds(folders, gate, app.dead_letters)
    rebuilds = Rebuilds(app.lanes, gate)
    marks = Marks(folders, app.lanes, gate, rebuilds, generation)
    return Work(
        topics=[*folders, names.purge(generation)],
        handle=rounds.handle,
        publish=marks.publish,
        waiting_for=lambda: gate.waiting_for or rebuilds.reason,
    )
