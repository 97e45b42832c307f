"""The online store on a Redis Cluster: every primary is a store of its own, and this is the way to the right one.

A subject's hash, its node's voucher and its node's marks lie on one primary, so that a read is one round trip to each
primary that holds a subject of it, all at once. Which primary owns which slots is learnt from the cluster at the first
call, at once when a slot moved, and before the next call when a primary was away or vouched for by nobody.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import structlog

from featurestore.permission import Permission
from featurestore.store.connection import Replies
from featurestore.store.protocol import (
    FieldWrite,
    NodeState,
    PublishResult,
    ReadResult,
    StoredSubject,
    StoreUnavailable,
    WriteOutcome,
)
from featurestore.store.redis import Moved, RedisNode
from featurestore.store.server import Call, Server, complete_all, complete
from featurestore.store.slots import SLOTS, parse_slots, parse_primaries, slot_of

log = structlog.get_logger(__name__)

LEARNT_S = 0.25  # so long nobody asks again because a primary is in doubt; a slot that moved is asked for at once
T = TypeVar("T")


class Part(NamedTuple, Generic[T]):
    """The part of a question that one node answers: the places of its subjects, and what it says."""

    node: RedisNode | None  # None: the slots are nobody's
    places: list[int]
    answer: T | StoreUnavailable


class Topology:
    """Which node holds which subject, as the cluster said once."""

    def __init__(self, nodes: tuple[RedisNode, ...]):
        self.nodes = nodes
        self._by_slot: list[RedisNode | None] = [None] * SLOTS
        for node in nodes:
            for number in parse_slots(node.slots):
                self._by_slot[number] = node

    def placed(self, subjects: Sequence[str], places: Iterable[int]) -> dict[RedisNode | None, list[int]]:
        """The places by the node of the subject there; None: its slot is nobody's."""
        placed: dict[RedisNode | None, list[int]] = {}
        for place in places:
            placed.setdefault(self._by_slot[slot_of(subjects[place])], []).append(place)
        return placed


class ClusterStore:
    """The cluster at ``redis[s]+cluster://[user:password@]host:port,host:port/``: some of its servers, to ask first."""

    def __init__(self, url: str, timeout_ms: int):
        scheme, _, rest = url.partition("+cluster://")
        place, _, database = rest.partition("/")
        if database not in ("", "0"):
            raise ValueError(f"store_url: a cluster has database 0 alone, not {database}")
        user, at, hosts = place.rpartition("@")
        self.timeout_ms = timeout_ms
        self._seeds = [Server(f"{scheme}://{user}{at}{host}/") for host in hosts.split(",")]
        self._servers: dict[str, Server] = {}  # by URL, those of the primaries
        self._topology: Topology | None = None
        self._learnt_s = 0.0
        self._doubted: set[RedisNode] = set()  # away or vouched for by nobody: is the topology another by now?
        self._lock = threading.Lock()

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], marks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> ReadResult:
        deadline = time.monotonic() + timeout_ms / 1000

        def reading(node: RedisNode, places: Sequence[int]) -> Call[ReadResult]:
            return node.reading([subjects[place] for place in places], fields, marks, deadline)

        if subjects:
            parts = self._ask(subjects, reading, deadline, doubtful=lambda answer: not answer.vouched)
        else:
            nodes = self._learnt(time.monotonic(), deadline).nodes
            reads = complete_all([reading(node, ()) for node in nodes])
            parts = [Part(node, [], answer) for node, answer in zip(nodes, reads, strict=True)]
        _raise_if_none(parts)
        stored: dict[int, StoredSubject] = {}
        states: list[NodeState] = []
        for _, places, answer in parts:
            if isinstance(answer, StoreUnavailable):
                away = NodeState("", [None] * len(marks))
                answer = ReadResult([StoredSubject(None, [None] * len(fields), away)] * len(places), [away])
            states += answer.nodes
            stored |= zip(places, answer.subjects, strict=True)
        return ReadResult([stored[place] for place in range(len(subjects))], states)

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        def writing(node: RedisNode, places: Sequence[int]) -> Call[list[WriteOutcome]]:
            return node.writing([writes[place] for place in places], now_ms)

        outcome: dict[int, WriteOutcome] = {}
        for places, answers in self._ask_all([write.subject for write in writes], writing):
            outcome |= zip(places, answers, strict=True)
        return [outcome[place] for place in range(len(writes))]

    def publish_permissions(self, permissions: Mapping[str, Permission]) -> dict[str, PublishResult]:
        subjects = list(permissions)

        def putting(node: RedisNode, places: Sequence[int]) -> Call[dict[str, PublishResult]]:
            return node.putting({subjects[place]: permissions[subjects[place]] for place in places})

        parts = self._ask(subjects, putting)
        _raise_if_none(parts)
        puts: dict[str, PublishResult] = {}
        for _, _, answer in parts:
            puts |= {} if isinstance(answer, StoreUnavailable) else answer
        return puts

    def sweep(self, subjects: Iterable[str]) -> None:
        wanted = list(subjects)

        def sweeping(node: RedisNode, places: Sequence[int]) -> Call[None]:
            return node.sweeping([wanted[place] for place in places])

        for _ in self._ask_all(wanted, sweeping):
            pass

    def subjects(self) -> Iterator[str]:
        for node in self.nodes():
            yield from node.subjects()

    def nodes(self) -> Sequence[RedisNode]:
        return self._learnt(time.monotonic(), self._deadline()).nodes

    def _deadline(self) -> float:
        return time.monotonic() + self.timeout_ms / 1000

    def _ask_all(
        self, subjects: Sequence[str], call: Callable[[RedisNode, Sequence[int]], Call[T]]
    ) -> Iterator[tuple[list[int], T]]:
        """As ``_ask``. Raises StoreUnavailable if any node is away; the others did what they were asked."""
        for _, places, answer in self._ask(subjects, call):
            if isinstance(answer, StoreUnavailable):
                raise answer
            yield places, answer

    def _ask(
        self,
        subjects: Sequence[str],
        call: Callable[[RedisNode, Sequence[int]], Call[T]],
        deadline: float = math.inf,  # a write's pipelines have their own
        doubtful: Callable[[T], bool] = lambda answer: False,
    ) -> list[Part[T]]:
        """What the nodes of the subjects answer, asked at once; those whose slots moved, once more where they are."""
        parts = self._answered(self._current(deadline), subjects, range(len(subjects)), call)
        for part in parts:
            if part.node and (isinstance(part.answer, StoreUnavailable) or doubtful(part.answer)):
                self._doubted.add(part.node)
        moved = [place for part in parts if isinstance(part.answer, Moved) for place in part.places]
        if not moved:
            return parts
        try:
            topology = self._learnt(time.monotonic(), min(deadline, self._deadline()))
        except StoreUnavailable:
            return parts
        sound = [part for part in parts if not isinstance(part.answer, Moved)]
        return sound + self._answered(topology, subjects, moved, call)

    @staticmethod
    def _answered(
        topology: Topology,
        subjects: Sequence[str],
        places: Iterable[int],
        call: Callable[[RedisNode, Sequence[int]], Call[T]],
    ) -> list[Part[T]]:
        placed = topology.placed(subjects, places)
        nobodys = placed.pop(None, [])
        answers = complete_all([call(node, of) for node, of in placed.items() if node])
        parts = [Part(node, of, answer) for (node, of), answer in zip(placed.items(), answers, strict=True)]
        return [*parts, Part(None, nobodys, StoreUnavailable("no primary owns the slot"))] if nobodys else parts

    def _current(self, deadline: float) -> Topology:
        """The topology; where a node was in doubt, it is learnt again first, in half of the time."""
        now_s, topology = time.monotonic(), self._topology
        if topology is None:
            return self._learnt(now_s, min(deadline, self._deadline()))
        if self._doubted and now_s - self._learnt_s > LEARNT_S:
            try:
                return self._learnt(now_s, (now_s + min(deadline, self._deadline())) / 2)
            except StoreUnavailable as error:
                log.warning("the cluster's topology is as it was", reason=str(error))
        return topology

    def _learnt(self, since_s: float, deadline: float) -> Topology:
        """The topology, asked for since then. Raises StoreUnavailable if no server tells it in time."""
        if not self._lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise StoreUnavailable("the cluster's topology is not told in time")
        try:
            if self._topology is None or self._learnt_s < since_s:
                began_s = time.monotonic()
                nodes = self._told(deadline)
                if self._topology is None or self._topology.nodes != nodes:
                    self._topology = Topology(nodes)
                self._learnt_s = began_s
                self._doubted.clear()
            return self._topology
        finally:
            self._lock.release()

    def _told(self, deadline: float) -> tuple[RedisNode, ...]:
        """The primaries, as the first server that answers knows them; who was not in doubt is asked first."""
        known = self._topology.nodes if self._topology else ()
        asked = [node.server for node in sorted(known, key=self._doubted.__contains__)] + self._seeds
        reason = StoreUnavailable("no server of the cluster was asked in time")
        for i, server in enumerate(asked):
            now_s = time.monotonic()
            share = now_s + (deadline - now_s) / (len(asked) - i)
            try:
                _, (rows,) = complete(server.request([("CLUSTER", "SLOTS")], share))
                if isinstance(rows, Exception):
                    raise StoreUnavailable(f"store_url names no cluster: {rows}")
            except StoreUnavailable as error:
                reason = error
            else:
                return tuple(self._nodes(server, rows))
        raise reason

    def _nodes(self, asked: Server, rows: Replies) -> Iterator[RedisNode]:
        """The primaries that a server tells of; those known are the same objects as before."""
        before = {(node.name, node.slots): node for node in (self._topology.nodes if self._topology else ())}
        for host, port, slots in sorted(parse_primaries(rows).values()):
            name = f"{host or asked.host}:{port}"
            if (node := before.get((name, slots))) is None:
                url = asked.peer_url(name)
                node = RedisNode(self._servers.setdefault(url, Server(url)), self.timeout_ms, slots, name)
            yield node


def _raise_if_none(parts: Sequence[Part[T]]) -> None:
    """Raise what a node said if none answered."""
    reasons = [part.answer for part in parts if isinstance(part.answer, StoreUnavailable)]
    if reasons and len(reasons) == len(parts):
        raise reasons[0]
