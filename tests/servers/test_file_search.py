"""The raw search finds what is there, in every encoding and however it is packed; and nothing where nothing is."""

import base64
import gzip
import json
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import cramjam
import msgspec
import psycopg
import pytest
import rocksdict
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from psycopg.sql import SQL, Identifier
from redis import Redis

from devservers.file_search import search
from devservers.file_search.encodings import needle_of
from devservers.file_search.rocksdb_files import UnknownTable, table_contents
from devservers.file_search.search import Search
from devservers.redis_server import RedisServer
from devservers.server import running

TEXT = "Kästrel/7f3a91"
SUBJECT = "9f86d081884c7d659a2feaa0c55ad015"
NEEDLES = [needle_of("canary", TEXT), needle_of("subject", SUBJECT, bytes.fromhex(SUBJECT))]
NOISE = bytes(range(256)) * 40
ENCODERS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": str.encode,
    "upper case": lambda text: text.upper().encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big-endian": lambda text: text.encode("utf-16-be"),
    "hex": lambda text: text.encode().hex().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 behind one byte": lambda text: base64.b64encode(b"." + text.encode() + b"end"),
    "base64 of URLs behind two bytes": lambda text: base64.urlsafe_b64encode(b"\xff\xfe" + text.encode() + b"end"),
    "percent": lambda text: quote(text, safe="").encode(),
    "query": lambda text: quote(text).encode(),
    "JSON": lambda text: json.dumps({"text": text}).encode(),
    "JSON of PHP": lambda text: json.dumps({"text": text}).replace("/", "\\/").encode(),
    "JSON, UTF-8": lambda text: msgspec.json.encode({"text": text}),
    "msgpack": lambda text: msgspec.msgpack.encode([1, {"text": text}]),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "zlib, fast": lambda raw: zlib.compress(raw, 1),
    "zstd": lambda raw: bytes(cramjam.zstd.compress(raw)),
    "lz4": lambda raw: bytes(cramjam.lz4.compress(raw)),
    "snappy": lambda raw: bytes(cramjam.snappy.compress(raw)),
    "snappy of Java": lambda raw: b"\x82SNAPPY\0" + struct.pack(">iii", 1, 1, len(packed := snappy(raw))) + packed,
}


def snappy(raw: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(raw))


def names_found(path: Path) -> set[str]:
    return {one.needle for one in Search(NEEDLES).tree(path)}


def packed_as(path: Path) -> set[str]:
    return {one.packed for one in Search(NEEDLES).tree(path)}


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize(("name", "text"), [("canary", TEXT), ("subject", SUBJECT)])
def test_text_is_found_in_every_encoding(encoding: str, name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NOISE + ENCODERS[encoding](text) + NOISE)
    assert names_found(tmp_path) == {name}


@pytest.mark.parametrize(
    "encode", [bytes, base64.b64encode, lambda raw: base64.b64encode(b"id" + raw), lambda raw: raw[::-1]]
)
def test_binary_subject_is_found(encode: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NOISE + encode(bytes.fromhex(SUBJECT)) + NOISE)
    assert names_found(tmp_path) == {"subject"}


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_text_is_found_also_in_a_frame_within_a_frame(packing: str, tmp_path: Path) -> None:
    pack = PACKERS[packing]
    inner = pack(TEXT.encode() * 3 + NOISE)
    (tmp_path / "file").write_bytes(NOISE + gzip.compress(NOISE + inner + NOISE) + NOISE)
    assert "frame frame" in packed_as(tmp_path)


def test_frame_that_ends_too_early_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(TEXT.encode() + NOISE)[:-12])
    assert names_found(tmp_path) == {"canary"}


def test_other_bytes_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(NOISE * 3 + gzip.compress(NOISE) + TEXT[:-1].encode() + SUBJECT[:-1].encode())
    one = Search(NEEDLES)
    assert list(one.tree(tmp_path)) == []
    assert one.bytes_searched == (tmp_path / "file").stat().st_size
    assert one.files == 1


def test_text_across_the_parts_of_a_large_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PART", 8192)
    (tmp_path / "file").write_bytes(bytes(8187) + TEXT.encode() + bytes(9000))
    assert names_found(tmp_path) == {"canary"}


@pytest.mark.parametrize("codec", range(5))
def test_records_of_kafka_are_found(codec: int, tmp_path: Path) -> None:
    batches = []
    for text in ("of others", TEXT):
        builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1 << 20)
        builder.append(0, 1, SUBJECT.encode(), text.encode() * 9 + bytes(500), [])
        batches.append(bytes(builder.build()))
    (tmp_path / "00000000000000000000.log").write_bytes(b"".join(batches))
    assert names_found(tmp_path) == {"canary", "subject"}


def test_snappy_without_frames_is_found_in_a_batch_of_kafka(tmp_path: Path) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    builder.append(0, 1, None, b"x" + TEXT.encode(), [])
    plain = bytes(builder.build())
    records = snappy(bytes(100) + plain[61:])
    header = plain[:8] + struct.pack(">i", 49 + len(records)) + plain[12:21] + struct.pack(">H", 2) + plain[23:61]
    (tmp_path / "00000000000000000000.log.deleted").write_bytes(header + records)
    assert names_found(tmp_path) == {"canary"}


@pytest.mark.parametrize("compression", ["none", "snappy", "zlib", "lz4", "lz4hc", "zstd"])
def test_keys_and_values_of_rocksdb_are_found_also_deleted_ones(compression: str, tmp_path: Path) -> None:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_compression_type(getattr(rocksdict.DBCompressionType, compression)())
    table = rocksdict.Rdict(str(tmp_path), options=options)
    for number in range(2000):
        table[f"{SUBJECT[:24]}{number:08}".encode()] = b"value of another" * 9
    table[SUBJECT.encode()] = TEXT.encode()
    logs = {path.suffix: names_found(path.parent) for path in tmp_path.glob("*.log")}
    table.flush()
    del table[SUBJECT.encode()]
    table.flush()
    assert logs == {".log": {"canary", "subject"}}
    assert {one.needle for path in tmp_path.glob("*.sst") for one in Search(NEEDLES).file(path)} == {
        "canary",
        "subject",
    }
    table.compact_range(None, None)
    table.close()
    assert {one.path.name[:8] for one in Search(NEEDLES).tree(tmp_path)} <= {"MANIFEST"}


def test_table_that_can_not_be_read_ends_the_search() -> None:
    with pytest.raises(UnknownTable):
        list(table_contents(bytes(100)))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with running(RedisServer(tmp_path / "redis", durable=True)) as server, Redis.from_url(server.url) as client:
        yield client


def test_keys_and_values_of_redis_are_found_in_its_files(redis: Redis, tmp_path: Path) -> None:
    redis.set("key", TEXT * 20)
    redis.hset(f"fs:{{{SUBJECT}}}" * 5, "field", b"value")
    assert names_found(tmp_path / "redis" / "appendonlydir") == {"canary", "subject"}
    redis.save()
    (path,) = (tmp_path / "redis").glob("*.rdb")
    found = list(Search(NEEDLES).file(path))
    assert {one.needle for one in found if one.packed == "LZF"} == {"canary", "subject"}


TABLE = SQL("CREATE TABLE {0} (a text, b text COMPRESSION {1}) WITH (autovacuum_enabled = off)")
ROW, DELETE = SQL("INSERT INTO {0} VALUES (%s, %s)"), SQL("DELETE FROM {0} WHERE a = %s")
PATHS = """
SELECT pg_relation_filepath(oid), pg_relation_filepath(nullif(reltoastrelid, 0)) FROM pg_class WHERE relname = %s
"""


@pytest.mark.parametrize("compression", ["pglz", "lz4"])
def test_rows_of_postgresql_are_found_also_dead_and_compressed_ones(
    compression: str, postgres: str, tmp_path: Path
) -> None:
    name = f"searched_{compression}"
    table = Identifier(name)
    long = "".join(f"{number:x}" for number in range(9000))
    with psycopg.connect(postgres, autocommit=True) as database:
        database.execute(TABLE.format(table, SQL(compression)))
        database.execute(ROW.format(table), (SUBJECT, "x" * 100 + TEXT + "y" * 4000))
        database.execute(ROW.format(table), ("toasted", long + long[:50] * 90 + TEXT[::-1]))
        database.execute(DELETE.format(table), (SUBJECT,))
        database.execute("CHECKPOINT")
        folder = Path(database.execute("SHOW data_directory").fetchall()[0][0])
        heap, toast = (copied(folder / path, tmp_path) for path in database.execute(PATHS, (name,)).fetchall()[0])
    assert {(one.needle, one.packed) for one in Search(NEEDLES).file(heap)} >= {("canary", "value"), ("subject", "")}
    backwards = [needle_of("backwards", TEXT[::-1])]
    assert {one.packed for one in Search(backwards).file(toast)} >= {"TOAST"}
    wal = {one.needle for path in (folder / "pg_wal").glob("0*") for one in Search(NEEDLES).file(path)}
    assert "subject" in wal


def copied(path: Path, folder: Path) -> Path:
    """A copy in a folder that is named as a database's."""
    (folder / "5").mkdir(exist_ok=True)
    return Path(shutil.copy(path, folder / "5" / path.name))
