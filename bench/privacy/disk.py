"""Files of an installation and its servers, and what each of them is of: a table, a topic, a Redis, something else."""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psycopg

from devservers.installation import Installation
from devservers.postgres_server import PostgresServer
from devservers.redis_server import RedisServer

RELATIONS = """
SELECT pg_relation_filepath(one.oid), coalesce(toasting.relname, indexed.relname, one.relname)
FROM pg_class one
LEFT JOIN pg_index ON indexrelid = one.oid
LEFT JOIN pg_class indexed ON indexed.oid = indrelid
LEFT JOIN pg_class toasting ON toasting.reltoastrelid = coalesce(indexed.oid, one.oid)
WHERE pg_relation_filepath(one.oid) IS NOT NULL
"""
FILE_OF_RELATION = re.compile(r"\d+")
TOPIC_FOLDER = re.compile(r"(.+)-\d+(\.[0-9a-f]{32}-delete|\.[0-9a-f]{32}-stray)?")
OTHERS = "other file"


class Area(NamedTuple):
    """What a file belongs to, as data locations name it: ``table``, ``topic``, ``store key`` ...; and its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


KEY_STORE = "keys.sqlite3"


@dataclass
class Disk:
    """Every file in which bytes of customers can be. ``topics``: of a broker that others use, too, those to look at."""

    made: Installation
    postgres: PostgresServer
    store: RedisServer
    control: RedisServer
    kafka_logs: Path
    topics: re.Pattern[str]

    def files(self) -> Iterator[tuple[Path, Area]]:
        yield from self._postgres_files()
        for server, kind in ((self.store, "store key"), (self.control, "control key")):
            yield from ((path, Area(kind, path.name)) for path in files_below(server.folder))
        for folder in sorted(self.kafka_logs.iterdir()):
            named = TOPIC_FOLDER.fullmatch(folder.name)
            if named and self.topics.fullmatch(named[1]):
                yield from ((path, Area("topic", named[1])) for path in files_below(folder))
        yield from ((path, self._own_area(path)) for path in files_below(self.made.folder))

    def _postgres_files(self) -> Iterator[tuple[Path, Area]]:
        """Of the whole cluster: WAL, catalogs and the server's log are no table's."""
        data = self.postgres.folder / "data"
        with psycopg.connect(str(self.made.settings["database_url"])) as database:
            tables = {data / path: table for path, table in database.execute(RELATIONS).fetchall()}
        for path in files_below(self.postgres.folder):
            file = FILE_OF_RELATION.match(path.name)
            table = tables.get(path.with_name(file[0])) if file else None
            yield path, Area("table", table) if table else Area(OTHERS, str(path.relative_to(self.postgres.folder)))

    def _own_area(self, path: Path) -> Area:
        for setting, name in (("stream_data_dir", "state_tables"), ("export_dir", "exports")):
            if path.is_relative_to(str(self.made.settings[setting])):
                return Area("file", name)
        return Area("file", "subject_keys") if path.name.startswith(KEY_STORE) else Area(OTHERS, path.name)


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


class Owners:
    """Which data locations own an area, from what ``manage.py locations list`` prints."""

    def __init__(self, listing: str) -> None:
        self.patterns: dict[str, list[Area]] = {}
        for block in listing.strip().split("\n\n"):
            first, *others = block.splitlines()
            (stored_in,) = (line.split(":", 1)[1] for line in others if line.startswith("  stored in:"))
            self.patterns[first.split(":")[0]] = [_area_of(one.strip()) for one in stored_in.split(", ")]

    def of(self, area: Area) -> Iterable[str]:
        """The names of the owners. A whole Redis is in one file, so every owner of keys of it is one."""
        for name, owned in self.patterns.items():
            for one in owned:
                if one.kind == area.kind and (
                    area.kind in ("store key", "control key")
                    or (area.kind == "file" and area.name == name)
                    or fnmatch.fnmatchcase(area.name, one.name)
                ):
                    yield name
                    break


def _area_of(text: str) -> Area:
    kind = next(kind for kind in ("table", "store key", "control key", "topic", "file") if text.startswith(kind))
    return Area(kind, text.removeprefix(f"{kind} "))
