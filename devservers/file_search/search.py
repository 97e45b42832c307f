"""Search of raw files for needles: as the bytes stand there, and unpacked from every format that hides bytes.

It shares no code with the product's proofs, and asks no server: files are read.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from devservers.file_search.encodings import Needle, longest_form
from devservers.file_search.frames import unpacked_frames
from devservers.file_search.kafka_files import unpacked_batches
from devservers.file_search.postgres_files import RELATION, toasted_values, unpacked_values, wal_records
from devservers.file_search.redis_files import unpacked_strings
from devservers.file_search.rocksdb_files import log_contents, table_contents

ZERO = bytes(4)
ZEROS = re.compile(ZERO * 8 + rb"\x00*")
"""Most of many a file. No form has so many: what is left of them has the same forms."""
BEGINNING = 4
"""Bytes of every form by which it is looked for: no form is shorter."""
DEEPEST = 3
"""Frames within frames that are unpacked."""
PART = 64 * 1024 * 1024
"""Bytes of a file that are in memory at a time; a multiple of every format's blocks."""
Unpack = Callable[[bytes], Iterable[bytes]]


class Found(NamedTuple):
    """A needle in a file: in which encoding, how packed, and how often."""

    path: Path
    needle: str
    encoding: str
    packed: str
    times: int


class Format(NamedTuple):
    """How files of a format are unpacked. ``whole``: only a whole file can be."""

    name: str
    unpack: Unpack
    whole: bool = False


FRAME = Format("frame", unpacked_frames)
FORMATS: dict[str, tuple[Format, ...]] = {
    "kafka": (Format("batch", unpacked_batches, whole=True),),
    "postgres": (Format("value", unpacked_values), Format("TOAST", toasted_values, whole=True)),
    "wal": (Format("WAL record", lambda raw: [wal_records(raw)]),),
    "redis": (Format("LZF", unpacked_strings),),
    "rocksdb table": (Format("block", table_contents, whole=True),),
    "rocksdb log": (Format("log record", lambda raw: [log_contents(raw)]),),
    "other": (),
}


def format_of(path: Path) -> str:
    """The format of a file, by its name and folder."""
    match path.suffix:
        case ".sst":
            return "rocksdb table"
        case ".rdb" | ".aof":
            return "redis"
        case ".log" if len(path.stem) == 20 and path.stem.isdigit():
            return "kafka"
        case ".log" if path.stem.isdigit():
            return "rocksdb log"
        case ".deleted":
            return format_of(path.with_suffix(""))
    if path.name.startswith("MANIFEST-"):
        return "rocksdb log"
    if path.parent.name == "pg_wal":
        return "wal"
    if RELATION.fullmatch(path.name) and path.parent.name.isdigit():
        return "postgres"
    return "other"


class Search:
    """Search for needles. ``bytes_searched`` counts those of files, and not what was unpacked from them."""

    def __init__(self, needles: Sequence[Needle]) -> None:
        self.bytes_searched, self.files = 0, 0
        self._overlap = longest_form(needles) - 1
        self._named = {form: (one.name, encoding) for one in needles for encoding, form in one.forms.items()}
        self._by_beginning: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for form in self._named:
            self._by_beginning[form[:BEGINNING]].append(form)
        first, *others = (_any_of(one[index] for one in self._by_beginning) for index in range(BEGINNING))
        self._candidates = re.compile(first + b"(?=" + b"".join(others) + b")", re.DOTALL)

    def tree(self, folder: Path, skip: Callable[[Path], bool] = lambda _: False) -> Iterator[Found]:
        """What is found in every file below a folder. One that vanishes meanwhile holds nothing any more."""
        for path in sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink()):
            if not skip(path):
                try:
                    yield from self.file(path)
                except FileNotFoundError:
                    continue

    def file(self, path: Path) -> Iterator[Found]:
        formats = FORMATS[format_of(path)]
        self.files += 1
        if path.stat().st_size > PART and any(one.whole for one in formats):
            raw = path.read_bytes()
            self.bytes_searched += len(raw)
            yield from self.contents(raw, path, formats)
            return
        with path.open("rb") as file:
            before = b""
            while part := file.read(PART):
                part = part if formats else part.rstrip(b"\0")  # Kafka's indexes are mostly holes
                self.bytes_searched += len(part)
                yield from self.contents(part, path, formats)
                if before:  # a needle that stands across the border of two parts
                    yield from self.bytes_of(before + part[: self._overlap], path, "")
                before = part[len(part) - self._overlap :]

    def contents(
        self, raw: bytes, path: Path, formats: Iterable[Format], packed: str = "", depth: int = 0
    ) -> Iterator[Found]:
        """What is found in bytes, and in what is packed in them."""
        yield from self.bytes_of(raw, path, packed)
        if depth == DEEPEST:
            return
        for one in (*formats, FRAME):
            for unpacked in one.unpack(raw):
                yield from self.contents(unpacked, path, (), f"{packed} {one.name}".strip(), depth + 1)

    def bytes_of(self, raw: bytes, path: Path, packed: str) -> Iterator[Found]:
        """In one pass for all forms: where a beginning of any may stand, those that begin so are compared."""
        times, raw = Counter[bytes](), ZEROS.sub(ZERO, raw)
        for candidate in self._candidates.finditer(raw):
            at = candidate.start()
            for form in self._by_beginning.get(raw[at : at + BEGINNING], ()):
                if raw.startswith(form, at):
                    times[form] += 1
        yield from (Found(path, *self._named[form], packed, number) for form, number in times.items())


def _any_of(values: Iterable[int]) -> bytes:
    """A class of a regular expression."""
    return b"[" + b"".join(re.escape(bytes([value])) for value in sorted(set(values))) + b"]"
