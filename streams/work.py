"""What this installation's workers do: a folder a source of the catalog, the purge of each partition, the marks."""

import re

from featurestore import names
from featurestore.config import Settings
from featurestore.definitions import Registry
from featurestore.online.store import OnlineStore
from streams.app import App, Work
from streams.bundles import Bundle
from streams.deadletters import DeadLetters, Rejected
from streams.fold import Folder
from streams.gate import Gate
from streams.lanes import Handler
from streams.marks import Marks

SUBJECT = re.compile(rb"[0-9a-f]{32}")


def work(app: App, settings: Settings, registry: Registry, store: OnlineStore) -> Work:
    """The work of one worker on its tables, for ``streams.app.create_app``."""
    gate = Gate(store)
    folders = {
        names.events(source.name, settings.generation): Folder(
            source,
            registry,
            app.state_tables[source.name],
            gate,
            app.dead_letters,
            generation=settings.generation,
            partitions=settings.partitions,
        )
        for source in registry.sources.values()
    }
    handlers: dict[str, Handler] = {topic: folder.events for topic, folder in folders.items()}
    handlers[names.purge(settings.generation)] = purging(list(folders.values()), gate, app.dead_letters)
    marks = Marks(folders, app.lanes, gate, settings.generation)
    return Work(handlers, publish=marks.publish, waiting_for=lambda: gate.waiting_for)


def purging(folders: list[Folder], gate: Gate, dead_letters: DeadLetters) -> Handler:
    """The handler of purge events: each record's key is a subject some of whose permission ended."""

    async def purge(bundle: Bundle) -> None:
        named = {record.key for record in bundle.records if record.key and SUBJECT.fullmatch(record.key)}
        detail = "a purge's key is the subject to purge: 32 hex digits"
        misnamed = [Rejected(record, "invalid", detail) for record in bundle.records if record.key not in named]
        await dead_letters.put(bundle, misnamed)
        subjects = sorted(key.decode() for key in named)
        for folder in folders:
            await folder.purge(bundle.partition, subjects)
        await gate.call(gate.store.sweep, subjects)

    return purge
