"""The online store on Redis 6.2 or later, or Valkey: one hash ``fs:{subject}`` a subject, one round trip a call.

Keys beside the subjects': ``fs:marks`` (a field a source and partition), ``fs:vouch`` (the voucher), ``fs:claim``.
"""

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha1
from pathlib import Path

import hiredis
import msgspec

from featurestore.online.connection import Command, Connection, Replies
from featurestore.online.store import FieldWrite, Mark, Put, Reading, Run, Stored, StoreUnavailable, Written
from featurestore.permission import Permission, decode

MARKS, VOUCH, CLAIM = "fs:marks", "fs:vouch", "fs:claim"
SCRIPTS = {path.stem: path.read_text() for path in (Path(__file__).parent / "scripts").glob("*.lua")}
SHAS = {name: sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in SCRIPTS.items()}
BATCH, BATCH_BYTES = 500, 4 * 2**20  # subjects and bytes a pipeline, so that no reply waits behind a very long one
FEW, BULK_TIMEOUT_MS = 10, 5_000  # nobody waits in a conversation for a pipeline of more calls
AWAY = re.compile(  # from within a script, Redis 6.2 says it behind the script's name
    "^(ERR Error running script .*: -)?"
    "(LOADING|READONLY|OOM|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOAUTH|NOPERM|MISCONF|NOREPLICAS)"
)
ENCODER = msgspec.msgpack.Encoder()
MARK = msgspec.msgpack.Decoder(Mark)
CLAIMED = msgspec.msgpack.Decoder(tuple[str, str, int, int, str])
IDENTITY = re.compile(r"(run_id|master_replid):(\w+)")


def key(subject: str) -> str:
    """The subject's hash; the braces are its cluster hash tag."""
    return "fs:{" + subject + "}"


class RedisStore:
    """The store at a URL: ``redis[s]://[user:password@]host:port/db``, ``unix:///path``; a connection a thread."""

    def __init__(self, url: str, timeout_ms: int):
        self.url, self.timeout_ms = url, timeout_ms
        self._local = threading.local()

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], marks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> Reading:
        commands: list[Command] = [("GET", VOUCH)]
        if marks:
            commands.append(("HMGET", MARKS, *(f"{source}/{partition}" for source, partition in marks)))
        commands += [("HMGET", key(subject), "p", *fields) for subject in subjects]
        run_id, replies = self._run(commands, timeout_ms)
        rest = iter(replies[1:])
        found = [None if raw is None else MARK.decode(raw) for raw in next(rest)] if marks else []
        fill = replies[0].decode() if _is_word(replies[0], run_id) else ""
        return Reading(fill, [Stored(decode(p) if p else None, values) for p, *values in rest], found)

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[Written]:
        grouped: dict[str, list[int]] = {}
        for i, write in enumerate(writes):
            grouped.setdefault(write.subject, []).append(i)
        outcome: dict[int, Written] = {}
        meanings = {1: Written.DONE, 0: Written.STALE, -1: Written.REFUSED}
        calls = [
            _call("write", [key(subject)], now_ms, *(part for i in group for part in writes[i][1:]))
            for subject, group in grouped.items()
        ]
        for group, answers in zip(grouped.values(), self._scripts(calls), strict=True):
            outcome |= zip(group, map(meanings.__getitem__, answers), strict=True)
        return [outcome[i] for i in range(len(writes))]

    def put_permissions(self, permissions: Mapping[str, Permission]) -> dict[str, Put]:
        calls = [_call("sweep", [key(subject)], p.encode()) for subject, p in permissions.items()]
        puts: dict[str, Put] = {}
        subjects = list(permissions)
        for start in range(0, len(calls), BATCH):
            batch = [*calls[start : start + BATCH], ("GET", VOUCH)]
            run_id, (*answers, voucher) = self._run_scripts(batch)
            for subject, answer in zip(subjects[start:], answers, strict=False):
                puts[subject] = Put(vouched=_is_word(voucher, run_id), newer=answer == 0)
        return puts

    def sweep(self, subjects: Iterable[str]) -> None:
        self._scripts([_call("sweep", [key(subject)]) for subject in subjects])

    def mark(self, source: str, partition: int, mark: Mark) -> bool:
        return self._scripts([_call("mark", [MARKS], f"{source}/{partition}", ENCODER.encode(mark))]) == [1]

    def run(self) -> Run:
        _, replies = self._run([("INFO", "server"), ("INFO", "replication")], self.timeout_ms)
        found = dict(IDENTITY.findall("".join(reply.decode() for reply in replies)))
        return Run(found["run_id"], found["master_replid"])

    def vouch(self, run: Run, expiry_ms: int) -> bool:
        _, ((now_s, now_us),) = self._run([("TIME",)], self.timeout_ms)
        until_ms = int(now_s) * 1000 + int(now_us) // 1000 + expiry_ms
        return self._scripts([_call("vouch", [VOUCH, CLAIM], *run, until_ms)]) == [1]

    def claim(self, run: Run, epoch: int, sequence: int) -> bool:
        claim = ENCODER.encode([*run, epoch, sequence])
        return self._scripts([_call("vouch", [VOUCH, CLAIM], *run, 0, claim)]) == [1]

    def claimed(self) -> tuple[Run, int, int] | None:
        _, (raw,) = self._run([("GET", CLAIM)], self.timeout_ms)
        if raw is None:
            return None
        run_id, replication_id, epoch, sequence, _ = CLAIMED.decode(raw)
        return Run(run_id, replication_id), epoch, sequence

    def subjects(self) -> Iterator[str]:
        cursor = b"0"
        while True:
            _, ((cursor, keys),) = self._run([("SCAN", cursor, "MATCH", "fs:{*}", "COUNT", 1000)], self.timeout_ms)
            yield from (name[4:-1].decode(errors="replace") for name in keys)
            if cursor == b"0":
                return

    def close(self) -> None:
        """Close this thread's connection."""
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()
            self._local.connection = None

    def _scripts(self, calls: Sequence[Command]) -> Replies:
        answers: Replies = []
        for batch in _batches(calls):
            answers += self._run_scripts(batch)[1]
        return answers

    def _run_scripts(self, calls: Sequence[Command]) -> tuple[bytes, Replies]:
        """Run EVALSHAs (idempotent, each of them); those that an emptied script cache refuses are run again."""
        timeout_ms = self.timeout_ms if len(calls) < FEW else BULK_TIMEOUT_MS
        deadline = time.monotonic() + timeout_ms / 1000
        run_id, replies = self._send(calls, deadline)
        if any(isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT") for reply in replies):
            self._send([("SCRIPT", "LOAD", text) for text in SCRIPTS.values()], deadline)
            run_id, replies = self._send(calls, deadline)
        return run_id, _sound(replies)

    def _run(self, commands: Sequence[Command], timeout_ms: int) -> tuple[bytes, Replies]:
        run_id, replies = self._send(commands, time.monotonic() + timeout_ms / 1000)
        return run_id, _sound(replies)

    def _send(self, commands: Sequence[Command], deadline: float) -> tuple[bytes, Replies]:
        """The run that answered and its replies. A kept connection may have died meanwhile: once more on a new one."""
        kept: Connection | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                return kept.run_id, kept.run(commands, deadline)
            except StoreUnavailable:
                self._local.connection = None
                if time.monotonic() >= deadline:
                    raise
        fresh = self._connected(deadline)
        return fresh.run_id, fresh.run(commands, deadline)

    def _connected(self, deadline: float) -> Connection:
        """This thread's connection, made if there is none."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            left_ms = int((deadline - time.monotonic()) * 1000)
            connection = self._local.connection = Connection(self.url, max(left_ms, 1))
        return connection


def _call(script: str, keys: Sequence[str], *arguments: bytes | str | int) -> Command:
    return ("EVALSHA", SHAS[script], len(keys), *keys, *arguments)


def _sound(replies: Replies) -> Replies:
    """The replies, if none is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            text = str(reply)
            if AWAY.match(text):
                raise StoreUnavailable(f"store can't serve now: {text}")
            raise reply
    return replies


def _batches(calls: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """The calls in order, so many at once as one pipeline takes."""
    start, size = 0, 0
    for i, call in enumerate(calls):
        length = sum(len(part) for part in call if isinstance(part, bytes))
        if i > start and (i - start >= BATCH or size + length > BATCH_BYTES):
            yield calls[start:i]
            start, size = i, 0
        size += length
    if calls:
        yield calls[start:]


def _is_word(voucher: bytes | None, run_id: bytes) -> bool:
    """Whether what a voucher left is about the run that answered."""
    return voucher is not None and voucher.startswith(run_id + b":")
