"""Online store on Redis 6.2 or later, or Valkey: one hash ``fs:{subject}`` a subject, one round trip a call.

Keys beside the subjects': ``fs:watermarks`` (a field a source and partition), ``fs:vouch`` (the vouch key),
``fs:store-claim``, ``fs:highest-change`` and ``fs:latch``. In a cluster every primary has its own five, with a hash tag
of one of its slots.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from featurestore.permission import Permission, decode
from featurestore.store.connection import Command, Connection, Replies
from featurestore.store.metrics import DAMAGED
from featurestore.store.pipelines import PIPELINE_COMMANDS, pipelines
from featurestore.store.protocol import (
    NO_LEASE,
    FieldWrite,
    LeaseFence,
    NodeState,
    PublishResult,
    ReadResult,
    Run,
    StoreClaim,
    StoredChange,
    StoredSubject,
    StoreMemory,
    StoreUnavailable,
    VouchingRecord,
    Watermark,
    WriteOutcome,
    eviction_token,
)
from featurestore.store.replies import checked, decoded, error_of, is_ask, is_error
from featurestore.store.server import Call, Server, complete
from featurestore.store.slots import hash_tag, parse_primaries, parse_slots, slot_of

log = structlog.get_logger(__name__)
SCRIPTS = {path.stem: path.read_text() for path in (Path(__file__).parent / "scripts").glob("*.lua")}
SCRIPT_SHAS = {name: sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in SCRIPTS.items()}
SCRIPTS_BY_SHA = {SCRIPT_SHAS[name]: text for name, text in SCRIPTS.items()}
SHORT_PIPELINE, BULK_TIMEOUT_MS = 10, 5_000  # no conversation waits for a pipeline of more commands
ENCODER = msgspec.msgpack.Encoder()
LINEAGE = re.compile(r"master_replid2?:(\w+)")  # of this run, and of the primary that it replicated before
MEMORY = re.compile(r"^(used_memory|maxmemory):(\d+)", re.MULTILINE)
IDENTITY = re.compile(r"(run_id|master_replid):(\w+)")


class ClaimRecord(NamedTuple):
    """Stored form of a StoreClaim, a msgpack array."""

    run_id: str
    replication_id: str
    epoch: int
    sequence: int
    started: str
    slots: str = ""
    lease_epoch: int = 0
    lease_number: int = 0
    holder: str = ""
    renewals: int = 0


CLAIM_DECODER = msgspec.msgpack.Decoder(ClaimRecord)
CHANGE_DECODER = msgspec.msgpack.Decoder(StoredChange)
WATERMARK_DECODER = msgspec.msgpack.Decoder(Watermark)


@lru_cache(maxsize=1_024)  # a watermark moves once a second, and every read asks for some
def decode_watermark(raw: bytes) -> Watermark | None:
    return decoded(WATERMARK_DECODER.decode, raw, "watermark")


def subject_key(subject: str) -> str:
    """The key of the subject's hash; the braces are its cluster hash tag."""
    return "fs:{" + subject + "}"


class RedisNode:
    """One primary with the slots that it owns ("" of a single server). With other slots it is another node.

    A method ``X_call`` returns the call (featurestore.store.server) that a cluster runs on several nodes at once; ``X``
    completes it.
    """

    def __init__(self, server: Server, timeout_ms: int, slots: str = "", name: str = ""):
        self.server, self.timeout_ms, self.slots, self.name = server, timeout_ms, slots, name
        tag = ":{" + hash_tag(slots) + "}" if slots else ""
        self.watermarks_key = "fs:watermarks" + tag
        self.vouch_key = "fs:vouch" + tag
        self.claim_key = "fs:store-claim" + tag
        self.highest_key = "fs:highest-change" + tag
        self.latch_key = "fs:latch" + tag
        self._vouched_slots = f":{slots}:".encode()

    def nodes(self) -> "tuple[RedisNode]":
        return (self,)

    def owns(self, subject: str) -> bool:
        return not self.slots or slot_of(subject) in parse_slots(self.slots)

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], watermarks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> ReadResult:
        return complete(self.read_call(subjects, fields, watermarks, time.monotonic() + timeout_ms / 1000))

    def read_call(
        self, subjects: Sequence[str], fields: Sequence[str], watermarks: Sequence[tuple[str, int]], deadline: float
    ) -> Call[ReadResult]:
        commands: list[Command] = [("GET", self.vouch_key)]
        if watermarks:
            names = (f"{source}/{partition}" for source, partition in watermarks)
            commands.append(("HMGET", self.watermarks_key, *names))
        commands += [("HMGET", subject_key(subject), "p", "r", *fields) for subject in subjects]
        run_id, replies = yield from self.server.request(commands, deadline)
        first = len(commands) - len(subjects)
        vouch, *rest = checked(replies[:first])
        found = [None if raw is None else decode_watermark(raw) for raw in rest[0]] if watermarks else []
        if self._is_vouched(vouch, run_id):
            node = NodeState(vouch.partition(b" ")[0].decode(), found)
        else:
            node = NodeState("", found)
            self.server.doubt()
        stored, nodes = [], [node]
        for reply in replies[first:]:
            if isinstance(reply, list):
                permission, mark, *values = reply
                found_permission = decoded(decode, permission, "permission") if permission else None
                stored.append(StoredSubject(found_permission, values, node, mark))
            elif is_error(reply, "WRONGTYPE "):  # another program's key: it counts as an empty hash
                DAMAGED.labels("hash").inc()
                stored.append(StoredSubject(None, [None] * len(fields), node))
            elif is_ask(reply):  # migrating to a node that is not vouched for with this slot
                nodes.append(NodeState("", [None] * len(watermarks)))
                stored.append(StoredSubject(None, [None] * len(fields), nodes[-1]))
            else:
                raise error_of(reply)
        return ReadResult(stored, nodes)

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        return complete(self.write_call(writes, now_ms))

    def write_call(self, writes: Sequence[FieldWrite], now_ms: int) -> Call[list[WriteOutcome]]:
        grouped: dict[str, list[int]] = {}
        for i, write in enumerate(writes):
            grouped.setdefault(write.subject, []).append(i)
        outcomes: dict[int, WriteOutcome] = {}
        meanings = {1: WriteOutcome.DONE, 0: WriteOutcome.SUPERSEDED, -1: WriteOutcome.NOT_ALLOWED}
        commands = [
            _evalsha("write", [subject_key(subject)], now_ms, *(part for i in group for part in writes[i][1:]))
            for subject, group in grouped.items()
        ]
        replies = yield from self._run_pipelines(commands)
        for group, answers in zip(grouped.values(), replies, strict=True):
            outcomes |= zip(group, map(meanings.__getitem__, answers), strict=True)
        return [outcomes[i] for i in range(len(writes))]

    def publish_permissions(
        self, permissions: Mapping[str, Permission], now_ms: int | None = None
    ) -> dict[str, PublishResult]:
        return complete(self.publish_call(permissions, now_ms))

    def publish_call(self, permissions: Mapping[str, Permission], now_ms: int | None) -> Call[dict[str, PublishResult]]:
        results: dict[str, PublishResult] = {}
        subjects, now = list(permissions), "" if now_ms is None else now_ms
        for start in range(0, len(subjects), PIPELINE_COMMANDS):
            batch = subjects[start : start + PIPELINE_COMMANDS]
            newest = max((permissions[subject] for subject in batch), key=lambda permission: permission.fence)
            # As text: a server that has the other script alone must not run that one without this one before it.
            highest = ("EVAL", SCRIPTS["highest"], 1, self.highest_key, *newest.fence, newest.token)
            applied = [
                _evalsha("apply_permission", [subject_key(subject)], permissions[subject].encode(), now, "")
                for subject in batch
            ]
            run_id, (raw, *answers, vouch) = yield from self._run_pipeline([highest, *applied, ("GET", self.vouch_key)])
            before = raw and decoded(CHANGE_DECODER.decode, raw, "highest_change")
            vouched = self._is_vouched(vouch, run_id)
            for subject, answer in zip(batch, answers, strict=True):
                results[subject] = PublishResult(vouched, answer == 0, before, answer in (2, 3))
            if repaired := answers.count(3):
                DAMAGED.labels("hash").inc(repaired)
                log.error("the store held what no version writes: it was replaced", subjects=repaired, node=self.name)
        return results

    def drop_disallowed(self, subjects: Mapping[str, bytes | None]) -> None:
        complete(self.drop_disallowed_call(subjects))

    def drop_disallowed_call(self, subjects: Mapping[str, bytes | None]) -> Call[None]:
        yield from self._run_pipelines(
            [_evalsha("apply_permission", [subject_key(name)], "", "", mark or "") for name, mark in subjects.items()]
        )

    def contents(self, subjects: Sequence[str]) -> list[dict[str, bytes]]:
        return complete(self.contents_call(subjects))

    def contents_call(self, subjects: Sequence[str]) -> Call[list[dict[str, bytes]]]:
        replies = yield from self._run_pipelines([("HGETALL", subject_key(subject)) for subject in subjects])
        return [
            {name.decode(errors="replace"): value for name, value in zip(reply[::2], reply[1::2], strict=True)}
            for reply in replies
        ]

    def erase(self, subjects: Sequence[str]) -> set[str]:
        return complete(self.erase_call(subjects))

    def erase_call(self, subjects: Sequence[str]) -> Call[set[str]]:
        replies = yield from self._run_pipelines([_evalsha("erase", [subject_key(subject)]) for subject in subjects])
        return {subject for subject, erased in zip(subjects, replies, strict=True) if not erased}

    def evict(self, subjects: Sequence[str], idle_since_s: int, *, dry_run: bool = False) -> list[int | None]:
        return complete(self.evict_call(subjects, idle_since_s, "" if dry_run else eviction_token()))

    def evict_call(self, subjects: Sequence[str], idle_since_s: int | str, token: int | str) -> Call[list[int | None]]:
        replies = yield from self._run_pipelines(
            [_evalsha("evict", [subject_key(subject)], idle_since_s, token) for subject in subjects]
        )
        return [None if size < 0 else size for size in replies]

    def mark_evicted(self, subjects: Mapping[str, int]) -> set[str]:
        return complete(self.mark_evicted_call(subjects))

    def mark_evicted_call(self, subjects: Mapping[str, int]) -> Call[set[str]]:
        token = eviction_token()
        replies = yield from self._run_pipelines(
            [_evalsha("evict", [subject_key(one)], "", token, newest_s) for one, newest_s in subjects.items()]
        )
        return {subject for subject, marked in zip(subjects, replies, strict=True) if marked}

    def advance_watermark(self, source: str, partition: int, watermark: Watermark) -> bool:
        command = _evalsha("watermark", [self.watermarks_key], f"{source}/{partition}", ENCODER.encode(watermark))
        return complete(self._run_pipelines([command])) == [1]

    def run(self) -> Run:
        about_slots = [("CLUSTER", "MYID"), ("CLUSTER", "SLOTS")] if self.slots else []
        server, replication, *cluster = self._execute([("INFO", "server"), ("INFO", "replication"), *about_slots])
        if b"role:master" not in replication:
            # An attempt to vouch for it would count as a vouch key, for whose expiry the next run had to wait.
            self.server.doubt()
            raise StoreUnavailable("the node is a replica and takes no writes")
        found = dict(IDENTITY.findall((server + replication).decode()))
        slots = ""
        if cluster:
            own_id, rows = cluster
            if (own := parse_primaries(rows).get(own_id)) is None:
                raise StoreUnavailable(f"{self.name} is no primary any more")
            slots = own.slots
        return Run(found["run_id"], found["master_replid"], slots)

    def now_ms(self) -> int:
        ((seconds, microseconds),) = self._execute([("TIME",)])
        return int(seconds) * 1000 + int(microseconds) // 1000

    def memory(self) -> StoreMemory:
        (raw,) = self._execute([("INFO", "memory")])
        found = {name: int(value) for name, value in MEMORY.findall(raw.decode())}
        return StoreMemory(found["used_memory"], found["maxmemory"])

    def vouching_record(self) -> VouchingRecord:
        keys = (self.claim_key, self.highest_key, self.latch_key, self.vouch_key)
        about_run = [("INFO", "server"), ("INFO", "replication")]
        claim, highest, latch, vouch, server, replication = self._execute([*(("GET", key) for key in keys), *about_run])
        run_id = dict(IDENTITY.findall(server.decode()))["run_id"].encode()
        return VouchingRecord(
            claim and self._decode_claim(claim, replication),
            highest and decoded(CHANGE_DECODER.decode, highest, "highest_change"),
            int(latch or 0),
            _lease_of(vouch) if self._is_vouched(vouch, run_id) else None,
        )

    def _decode_claim(self, raw: bytes, replication: bytes) -> StoreClaim | None:
        if (stored := decoded(CLAIM_DECODER.decode, raw, "claim")) is None:
            return None
        own = stored.slots == self.slots and stored.replication_id in LINEAGE.findall(replication.decode())
        if self.slots and not own:
            return None  # it was migrated with a slot, and does not cover the others
        run = Run(stored.run_id, stored.replication_id, stored.slots)
        lease = LeaseFence(stored.lease_epoch, stored.lease_number, stored.holder)
        return StoreClaim(run, stored.epoch, stored.sequence, stored.started, lease, stored.renewals)

    def write_claim(self, claim: StoreClaim, expected: StoreClaim | None) -> bool:
        return self._run_vouch_script(claim.run, expected, 0, _encode_claim(claim))

    def vouch(self, claim: StoreClaim, until_ms: int) -> bool:
        return self._run_vouch_script(claim.run, claim, until_ms)

    def _run_vouch_script(self, run: Run, expected: StoreClaim | None, *arguments: int | bytes) -> bool:
        if run.slots != self.slots:
            return False
        keys = [self.vouch_key, self.claim_key, self.latch_key]
        command = _evalsha("vouch", keys, *run, _encode_claim(expected) if expected else b"", *arguments)
        return complete(self._run_pipelines([command])) == [1]

    def latch(self, epoch: int) -> None:
        complete(self._run_pipelines([_evalsha("latch", [self.vouch_key, self.latch_key], epoch)]))

    def is_outdated(self) -> bool:
        (found,) = self._execute([("EXISTS", self.claim_key.replace("store-claim", "claim"))])
        return bool(found)

    def subjects(self) -> Iterator[str]:
        cursor = b"0"
        while True:
            ((cursor, keys),) = self._execute([("SCAN", cursor, "MATCH", "fs:{*}", "COUNT", 1000)])
            yield from (name[4:-1].decode(errors="replace") for name in keys)
            if cursor == b"0":
                return

    def _is_vouched(self, vouch: bytes | None, run_id: bytes) -> bool:
        """Whether the vouch key's value names the run that answered, with these slots."""
        return vouch is not None and vouch.startswith(run_id + self._vouched_slots)

    def _execute(self, commands: Sequence[Command]) -> Replies:
        return checked(complete(self.server.request(commands, time.monotonic() + self.timeout_ms / 1000))[1])

    def _run_pipelines(self, commands: Sequence[Command]) -> Call[Replies]:
        answers: Replies = []
        for pipeline in pipelines(commands):
            _, replies = yield from self._run_pipeline(pipeline)
            answers += replies
        return answers

    def _run_pipeline(self, commands: Sequence[Command]) -> Call[tuple[bytes, Replies]]:
        """Run idempotent scripts. They run again from the first on that an emptied script cache refuses."""
        timeout_ms = self.timeout_ms if len(commands) < SHORT_PIPELINE else BULK_TIMEOUT_MS
        deadline = time.monotonic() + timeout_ms / 1000
        run_id, replies = yield from self.server.request(commands, deadline)
        if refused := [i for i, reply in enumerate(replies) if is_error(reply, "NOSCRIPT ")]:
            yield from self.server.request([("SCRIPT", "LOAD", text) for text in SCRIPTS.values()], deadline)
            run_id, again = yield from self.server.request(commands[refused[0] :], deadline)
            replies[refused[0] :] = again
        self._follow_asks(commands, replies, deadline)
        return run_id, checked(replies)

    def _follow_asks(self, commands: Sequence[Command], replies: Replies, deadline: float) -> None:
        """Replace ASK replies: of a migrating slot, run the commands on keys that have left at the importing node."""
        indexes_by_address: dict[str, list[int]] = defaultdict(list)
        for i, reply in enumerate(replies):
            if is_ask(reply):
                indexes_by_address[str(reply).split()[2]].append(i)
        for address, indexes in indexes_by_address.items():
            importing = Connection(self.server.peer_url(address), max(int((deadline - time.monotonic()) * 1000), 1))
            try:
                scripts = {i: str(commands[i][1]) for i in indexes}  # the hash of one, or its text
                evals = [("EVAL", SCRIPTS_BY_SHA.get(scripts[i], scripts[i]), *commands[i][2:]) for i in indexes]
                answers = importing.run([command for eval_ in evals for command in (("ASKING",), eval_)], deadline)
            finally:
                importing.close()
            for i, answer in zip(indexes, answers[1::2], strict=True):
                replies[i] = answer


class RedisStore(RedisNode):
    """Single server at a URL, or the primary that Sentinels name: one node."""

    def __init__(self, url: str, timeout_ms: int):
        super().__init__(Server(url), timeout_ms)


def _evalsha(script: str, keys: Sequence[str], *arguments: bytes | str | int) -> Command:
    return ("EVALSHA", SCRIPT_SHAS[script], len(keys), *keys, *arguments)


def _encode_claim(claim: StoreClaim) -> bytes:
    run, epoch, sequence, started, lease, renewals = claim
    return ENCODER.encode([run.run_id, run.replication_id, epoch, sequence, started, run.slots, *lease, renewals])


def _lease_of(vouch: bytes) -> LeaseFence:
    """The lease in a vouch key's value, after the store incarnation: EPOCH/NUMBER/HOLDER."""
    lease = vouch.decode().partition(" ")[2]
    if not lease:  # of an earlier version
        return NO_LEASE
    epoch, number, holder = lease.split("/", 2)
    return LeaseFence(int(epoch), int(number), holder)
