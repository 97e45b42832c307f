"""The online store on Redis 6.2 or later, or Valkey: one hash ``fs:{subject}`` a subject, one round trip a call.

Keys beside the subjects': ``fs:marks`` (a field a source and partition), ``fs:vouch`` (the voucher), ``fs:claim``. In a
cluster every primary has its own three, with a hash tag that lies in one of its slots.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

import hiredis
import msgspec

from featurestore.permission import Permission, decode
from featurestore.store.connection import Command, Connection, Replies
from featurestore.store.protocol import (
    FieldWrite,
    NodeState,
    PublishResult,
    ReadResult,
    Run,
    StoredSubject,
    StoreUnavailable,
    Watermark,
    WriteOutcome,
)
from featurestore.store.server import Call, Server, complete
from featurestore.store.slots import hash_tag, parse_slots, parse_primaries, slot_of

SCRIPTS = {path.stem: path.read_text() for path in (Path(__file__).parent / "scripts").glob("*.lua")}
SHAS = {name: sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in SCRIPTS.items()}
TEXTS = {SHAS[name]: text for name, text in SCRIPTS.items()}
BATCH, BATCH_BYTES = 500, 4 * 2**20  # subjects and bytes a pipeline, so that no reply waits behind a very long one
FEW, BULK_TIMEOUT_MS = 10, 5_000  # nobody waits in a conversation for a pipeline of more calls
AWAY = re.compile(  # from within a script, Redis 6.2 says it behind the script's name
    "^(ERR Error running script .*: -)?"
    "(LOADING|READONLY|OOM|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|ASK|BUSY|NOAUTH|NOPERM|MISCONF|NOREPLICAS)"
)
ENCODER = msgspec.msgpack.Encoder()
MARK = msgspec.msgpack.Decoder(Watermark)
LINEAGE = re.compile(r"master_replid2?:(\w+)")  # of this run, and of the one whose replica it was
IDENTITY = re.compile(r"(run_id|master_replid):(\w+)")


class Moved(StoreUnavailable):
    """The node does not own a slot that it was asked for."""


class Claim(NamedTuple):
    """What ``fs:claim`` holds."""

    run_id: str
    replication_id: str
    epoch: int
    sequence: int
    fill: str
    slots: str = ""


CLAIM = msgspec.msgpack.Decoder(Claim)


@lru_cache(maxsize=1_024)  # a mark moves once a second, and every read asks for some
def mark_in(raw: bytes) -> Watermark:
    return MARK.decode(raw)


def key(subject: str) -> str:
    """The subject's hash; the braces are its cluster hash tag."""
    return "fs:{" + subject + "}"


class RedisNode:
    """One primary, by the slots that it owns; a single server by none named. A change of slots makes another node.

    What ends in ``ing`` is a call (featurestore.store.server), for a cluster that asks several nodes at once.
    """

    def __init__(self, server: Server, timeout_ms: int, slots: str = "", name: str = ""):
        self.server, self.timeout_ms, self.slots, self.name = server, timeout_ms, slots, name
        own = ":{" + hash_tag(slots) + "}" if slots else ""
        self.marks_key, self.vouch_key, self.claim_key = "fs:marks" + own, "fs:vouch" + own, "fs:claim" + own
        self._about = f":{slots}:".encode()

    def nodes(self) -> "tuple[RedisNode]":
        return (self,)

    def owns(self, subject: str) -> bool:
        return not self.slots or slot_of(subject) in parse_slots(self.slots)

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], marks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> ReadResult:
        return complete(self.reading(subjects, fields, marks, time.monotonic() + timeout_ms / 1000))

    def reading(
        self, subjects: Sequence[str], fields: Sequence[str], marks: Sequence[tuple[str, int]], deadline: float
    ) -> Call[ReadResult]:
        commands: list[Command] = [("GET", self.vouch_key)]
        if marks:
            commands.append(("HMGET", self.marks_key, *(f"{source}/{partition}" for source, partition in marks)))
        commands += [("HMGET", key(subject), "p", *fields) for subject in subjects]
        run_id, replies = yield from self.server.request(commands, deadline)
        first = len(commands) - len(subjects)
        voucher, *rest = _sound(replies[:first])
        found = [None if raw is None else mark_in(raw) for raw in rest[0]] if marks else []
        node = NodeState(voucher.decode() if self._is_word(voucher, run_id) else "", found)
        stored, nodes = [], [node]
        for reply in replies[first:]:
            if isinstance(reply, list):
                p, *values = reply
                stored.append(StoredSubject(decode(p) if p else None, values, node))
            elif _on_its_way(reply):  # to a node that nobody vouches for as to this slot
                nodes.append(NodeState("", [None] * len(marks)))
                stored.append(StoredSubject(None, [None] * len(fields), nodes[-1]))
            else:
                raise _refusal(reply)
        return ReadResult(stored, nodes)

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        return complete(self.writing(writes, now_ms))

    def writing(self, writes: Sequence[FieldWrite], now_ms: int) -> Call[list[WriteOutcome]]:
        grouped: dict[str, list[int]] = {}
        for i, write in enumerate(writes):
            grouped.setdefault(write.subject, []).append(i)
        outcome: dict[int, WriteOutcome] = {}
        meanings = {1: WriteOutcome.DONE, 0: WriteOutcome.STALE, -1: WriteOutcome.REFUSED}
        calls = [
            _call("write", [key(subject)], now_ms, *(part for i in group for part in writes[i][1:]))
            for subject, group in grouped.items()
        ]
        replies = yield from self._scripts(calls)
        for group, answers in zip(grouped.values(), replies, strict=True):
            outcome |= zip(group, map(meanings.__getitem__, answers), strict=True)
        return [outcome[i] for i in range(len(writes))]

    def publish_permissions(self, permissions: Mapping[str, Permission]) -> dict[str, PublishResult]:
        return complete(self.putting(permissions))

    def putting(self, permissions: Mapping[str, Permission]) -> Call[dict[str, PublishResult]]:
        calls = [_call("sweep", [key(subject)], p.encode()) for subject, p in permissions.items()]
        puts: dict[str, PublishResult] = {}
        subjects = list(permissions)
        for start in range(0, len(calls), BATCH):
            batch = [*calls[start : start + BATCH], ("GET", self.vouch_key)]
            run_id, (*answers, voucher) = yield from self._run_scripts(batch)
            for subject, answer in zip(subjects[start:], answers, strict=False):
                puts[subject] = PublishResult(vouched=self._is_word(voucher, run_id), superseded=answer == 0)
        return puts

    def sweep(self, subjects: Iterable[str]) -> None:
        complete(self.sweeping(subjects))

    def sweeping(self, subjects: Iterable[str]) -> Call[None]:
        yield from self._scripts([_call("sweep", [key(subject)]) for subject in subjects])

    def advance_watermark(self, source: str, partition: int, mark: Watermark) -> bool:
        call = _call("mark", [self.marks_key], f"{source}/{partition}", ENCODER.encode(mark))
        return complete(self._scripts([call])) == [1]

    def run(self) -> Run:
        about = [("CLUSTER", "MYID"), ("CLUSTER", "SLOTS")] if self.slots else []
        server, replication, *cluster = self._run([("INFO", "server"), ("INFO", "replication"), *about])
        if b"role:master" not in replication:
            # A try to vouch for it would count as a word, which the next run had to outlive.
            raise StoreUnavailable("it is a replica and takes no writes")
        found = dict(IDENTITY.findall((server + replication).decode()))
        slots = ""
        if cluster:
            own_id, rows = cluster
            if (own := parse_primaries(rows).get(own_id)) is None:
                raise StoreUnavailable(f"{self.name} is no primary any more")
            slots = own.slots
        return Run(found["run_id"], found["master_replid"], slots)

    def vouch(self, run: Run, expiry_ms: int) -> bool:
        ((now_s, now_us),) = self._run([("TIME",)])
        until_ms = int(now_s) * 1000 + int(now_us) // 1000 + expiry_ms
        return self._claiming(run, until_ms)

    def write_claim(self, run: Run, epoch: int, sequence: int) -> bool:
        return self._claiming(run, 0, ENCODER.encode([run.run_id, run.replication_id, epoch, sequence]))

    def _claiming(self, run: Run, *arguments: int | bytes) -> bool:
        if run.slots != self.slots:
            return False
        return complete(self._scripts([_call("vouch", [self.vouch_key, self.claim_key], *run, *arguments)])) == [1]

    def read_claim(self) -> tuple[Run, int, int] | None:
        raw, replication = self._run([("GET", self.claim_key), ("INFO", "replication")])
        if raw is None:
            return None
        claim = CLAIM.decode(raw)
        ours = claim.slots == self.slots and claim.replication_id in LINEAGE.findall(replication.decode())
        if self.slots and not ours:
            return None  # it came with a slot, and says nothing of the others
        return Run(claim.run_id, claim.replication_id, claim.slots), claim.epoch, claim.sequence

    def subjects(self) -> Iterator[str]:
        cursor = b"0"
        while True:
            ((cursor, keys),) = self._run([("SCAN", cursor, "MATCH", "fs:{*}", "COUNT", 1000)])
            yield from (name[4:-1].decode(errors="replace") for name in keys)
            if cursor == b"0":
                return

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        self.server.close()

    def _is_word(self, voucher: bytes | None, run_id: bytes) -> bool:
        """Whether what a voucher left is about the run that answered, and these slots."""
        return voucher is not None and voucher.startswith(run_id + self._about)

    def _run(self, commands: Sequence[Command]) -> Replies:
        return _sound(complete(self.server.request(commands, time.monotonic() + self.timeout_ms / 1000))[1])

    def _scripts(self, calls: Sequence[Command]) -> Call[Replies]:
        answers: Replies = []
        for batch in _batches(calls):
            _, replies = yield from self._run_scripts(batch)
            answers += replies
        return answers

    def _run_scripts(self, calls: Sequence[Command]) -> Call[tuple[bytes, Replies]]:
        """Run EVALSHAs (idempotent, each of them); those that an emptied script cache refuses are run again."""
        timeout_ms = self.timeout_ms if len(calls) < FEW else BULK_TIMEOUT_MS
        deadline = time.monotonic() + timeout_ms / 1000
        run_id, replies = yield from self.server.request(calls, deadline)
        if any(isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT") for reply in replies):
            yield from self.server.request([("SCRIPT", "LOAD", text) for text in SCRIPTS.values()], deadline)
            run_id, replies = yield from self.server.request(calls, deadline)
        self._follow(calls, replies, deadline)
        return run_id, _sound(replies)

    def _follow(self, calls: Sequence[Command], replies: Replies, deadline: float) -> None:
        """Of a slot on its way to another node, run what is about keys that are not here any more over there."""
        elsewhere: dict[str, list[int]] = defaultdict(list)
        for i, reply in enumerate(replies):
            if _on_its_way(reply):
                elsewhere[str(reply).split()[2]].append(i)
        for address, places in elsewhere.items():
            there = Connection(self.server.peer_url(address), max(int((deadline - time.monotonic()) * 1000), 1))
            try:
                whole = [("EVAL", TEXTS[str(calls[i][1])], *calls[i][2:]) for i in places]
                answers = there.run([command for call in whole for command in (("ASKING",), call)], deadline)
            finally:
                there.close()
            for i, answer in zip(places, answers[1::2], strict=True):
                replies[i] = answer


class RedisStore(RedisNode):
    """A single server at a URL, ``redis[s]://[user:password@]host:port/db`` or ``unix:///path``: one node."""

    def __init__(self, url: str, timeout_ms: int):
        super().__init__(Server(url), timeout_ms)


def _call(script: str, keys: Sequence[str], *arguments: bytes | str | int) -> Command:
    return ("EVALSHA", SHAS[script], len(keys), *keys, *arguments)


def _on_its_way(reply: object) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith("ASK ")


def _refusal(error: Exception) -> Exception:
    """What an error reply says of the store; a mistake of ours as it is."""
    text = str(error)
    if text.startswith("MOVED "):
        return Moved(f"its slot is elsewhere ({text}): a cluster's store_url begins with redis+cluster://")
    return StoreUnavailable(f"store can't serve now: {text}") if AWAY.match(text) else error


def _sound(replies: Replies) -> Replies:
    """The replies, if none is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise _refusal(reply)
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
