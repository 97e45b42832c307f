"""Online store on a Redis Cluster, whose every primary is a node: a store of its own for the subjects in its slots.

A subject's hash, its node's vouch key and its node's watermarks are on one primary, so that a read is one round trip to
each primary of its subjects, all at once. The topology (which primary owns which slots) is discovered at the first
call, at once when a slot has moved, and before the next call when a primary did not answer or was not vouched for.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import structlog

from featurestore.permission import Permission
from featurestore.servers.redis_url import RedisUrl, parse_redis_url
from featurestore.store.connection import Replies
from featurestore.store.protocol import (
    FieldWrite,
    NodeState,
    PublishResult,
    ReadResult,
    StoredSubject,
    StoreUnavailable,
    WriteOutcome,
    eviction_token,
)
from featurestore.store.redis import RedisNode
from featurestore.store.replies import MovedSlot
from featurestore.store.server import Call, Server, complete, complete_all
from featurestore.store.slots import SLOTS, parse_primaries, parse_slots, slot_of

log = structlog.get_logger(__name__)

REDISCOVERY_S = 0.25  # between discoveries because of suspect primaries; a moved slot is discovered at once
T = TypeVar("T")


class NodeAnswer(NamedTuple, Generic[T]):
    """Answer of one node for its part of a call's subjects, given by their indexes."""

    node: RedisNode | None  # None: no node owns the slots
    indexes: list[int]
    answer: T | StoreUnavailable


class Topology:
    """Owner of each slot, as the cluster reported it once."""

    def __init__(self, nodes: tuple[RedisNode, ...]):
        self.nodes = nodes
        self._by_slot: list[RedisNode | None] = [None] * SLOTS
        for node in nodes:
            for slot in parse_slots(node.slots):
                self._by_slot[slot] = node

    def group_by_node(self, subjects: Sequence[str], indexes: Iterable[int]) -> dict[RedisNode | None, list[int]]:
        """The indexes of subjects by their node; None: no node owns the slot."""
        groups: dict[RedisNode | None, list[int]] = {}
        for index in indexes:
            groups.setdefault(self._by_slot[slot_of(subjects[index])], []).append(index)
        return groups


class ClusterStore:
    """Cluster at a URL, which names some of its servers."""

    def __init__(self, url: str, timeout_ms: int):
        self.timeout_ms, parsed = timeout_ms, parse_redis_url(url)
        self._seeds = [Server(parsed.server_at(host)) for host in parsed.hosts]
        self._servers: dict[RedisUrl, Server] = {}  # of the primaries
        self._topology: Topology | None = None
        self._discovered_s = 0.0
        self._suspects: set[RedisNode] = set()  # did not answer or not vouched for: the topology may have changed
        self._lock = threading.Lock()

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], watermarks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> ReadResult:
        deadline = time.monotonic() + timeout_ms / 1000

        def read(node: RedisNode, indexes: Sequence[int]) -> Call[ReadResult]:
            return node.read_call([subjects[i] for i in indexes], fields, watermarks, deadline)

        if subjects:
            answers = self._call_owners(subjects, read, deadline, is_suspect=lambda answer: not answer.vouched)
        else:
            nodes = self._discover(time.monotonic(), deadline).nodes
            results = complete_all([read(node, ()) for node in nodes])
            answers = [NodeAnswer(node, [], result) for node, result in zip(nodes, results, strict=True)]
        _raise_if_none(answers)
        stored: dict[int, StoredSubject] = {}
        states: list[NodeState] = []
        for _, indexes, answer in answers:
            if isinstance(answer, StoreUnavailable):
                state = NodeState("", [None] * len(watermarks))
                answer = ReadResult([StoredSubject(None, [None] * len(fields), state)] * len(indexes), [state])
            states += answer.nodes
            stored |= zip(indexes, answer.subjects, strict=True)
        return ReadResult([stored[i] for i in range(len(subjects))], states)

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        def write(node: RedisNode, indexes: Sequence[int]) -> Call[list[WriteOutcome]]:
            return node.write_call([writes[i] for i in indexes], now_ms)

        outcomes: dict[int, WriteOutcome] = {}
        for indexes, answer in self._call_all_owners([write.subject for write in writes], write):
            outcomes |= zip(indexes, answer, strict=True)
        return [outcomes[i] for i in range(len(writes))]

    def publish_permissions(
        self, permissions: Mapping[str, Permission], now_ms: int | None = None
    ) -> dict[str, PublishResult]:
        subjects = list(permissions)

        def publish(node: RedisNode, indexes: Sequence[int]) -> Call[dict[str, PublishResult]]:
            owned = {subjects[i]: permissions[subjects[i]] for i in indexes}
            return node.publish_call(owned, now_ms)

        answers = self._call_owners(subjects, publish)
        _raise_if_none(answers)
        results: dict[str, PublishResult] = {}
        for _, _, answer in answers:
            results |= {} if isinstance(answer, StoreUnavailable) else answer
        return results

    def drop_disallowed(self, subjects: Mapping[str, bytes | None]) -> None:
        names = list(subjects)

        def drop_disallowed(node: RedisNode, indexes: Sequence[int]) -> Call[None]:
            return node.drop_disallowed_call({names[i]: subjects[names[i]] for i in indexes})

        for _ in self._call_all_owners(names, drop_disallowed):
            pass

    def contents(self, subjects: Sequence[str]) -> list[dict[str, bytes]]:
        def contents(node: RedisNode, indexes: Sequence[int]) -> Call[list[dict[str, bytes]]]:
            return node.contents_call([subjects[i] for i in indexes])

        found: dict[int, dict[str, bytes]] = {}
        for indexes, answer in self._call_all_owners(subjects, contents):
            found |= zip(indexes, answer, strict=True)
        return [found[i] for i in range(len(subjects))]

    def erase(self, subjects: Sequence[str]) -> set[str]:
        def erase(node: RedisNode, indexes: Sequence[int]) -> Call[set[str]]:
            return node.erase_call([subjects[i] for i in indexes])

        left: set[str] = set()
        for _, answer in self._call_all_owners(subjects, erase):
            left |= answer
        return left

    def evict(self, subjects: Sequence[str], idle_since_s: int, *, dry_run: bool = False) -> list[int | None]:
        token = "" if dry_run else eviction_token()

        def evict(node: RedisNode, indexes: Sequence[int]) -> Call[list[int | None]]:
            return node.evict_call([subjects[i] for i in indexes], idle_since_s, token)

        sizes: dict[int, int | None] = {}
        for indexes, answer in self._call_all_owners(subjects, evict):
            sizes |= zip(indexes, answer, strict=True)
        return [sizes[i] for i in range(len(subjects))]

    def mark_evicted(self, subjects: Mapping[str, int]) -> set[str]:
        names = list(subjects)

        def mark_evicted(node: RedisNode, indexes: Sequence[int]) -> Call[set[str]]:
            return node.mark_evicted_call({names[i]: subjects[names[i]] for i in indexes})

        marked: set[str] = set()
        for _, answer in self._call_all_owners(names, mark_evicted):
            marked |= answer
        return marked

    def subjects(self) -> Iterator[str]:
        for node in self.nodes():
            yield from node.subjects()

    def nodes(self) -> Sequence[RedisNode]:
        return self._discover(time.monotonic(), self._deadline()).nodes

    def _deadline(self) -> float:
        return time.monotonic() + self.timeout_ms / 1000

    def _call_all_owners(
        self, subjects: Sequence[str], call: Callable[[RedisNode, Sequence[int]], Call[T]]
    ) -> Iterator[tuple[list[int], T]]:
        """As ``_call_owners``. Raises StoreUnavailable if any node did not answer; on the others it took effect."""
        for _, indexes, answer in self._call_owners(subjects, call):
            if isinstance(answer, StoreUnavailable):
                raise answer
            yield indexes, answer

    def _call_owners(
        self,
        subjects: Sequence[str],
        call: Callable[[RedisNode, Sequence[int]], Call[T]],
        deadline: float = math.inf,  # a write's pipelines have their own
        is_suspect: Callable[[T], bool] = lambda answer: False,
    ) -> list[NodeAnswer[T]]:
        """The answers of the subjects' nodes, called all at once; for moved slots, those of a second call."""
        answers = self._call_nodes(self._current(deadline), subjects, range(len(subjects)), call)
        for node, _, answer in answers:
            if node and (isinstance(answer, StoreUnavailable) or is_suspect(answer)):
                self._suspects.add(node)
        moved = [i for _, indexes, answer in answers if isinstance(answer, MovedSlot) for i in indexes]
        if not moved:
            return answers
        try:
            topology = self._discover(time.monotonic(), min(deadline, self._deadline()))
        except StoreUnavailable:
            return answers
        final = [found for found in answers if not isinstance(found.answer, MovedSlot)]
        return final + self._call_nodes(topology, subjects, moved, call)

    @staticmethod
    def _call_nodes(
        topology: Topology,
        subjects: Sequence[str],
        indexes: Iterable[int],
        call: Callable[[RedisNode, Sequence[int]], Call[T]],
    ) -> list[NodeAnswer[T]]:
        groups = topology.group_by_node(subjects, indexes)
        unowned = groups.pop(None, [])
        results = complete_all([call(node, group) for node, group in groups.items() if node])
        answers = [
            NodeAnswer(node, group, result) for (node, group), result in zip(groups.items(), results, strict=True)
        ]
        if unowned:
            answers.append(NodeAnswer(None, unowned, StoreUnavailable("no primary owns the slot")))
        return answers

    def _current(self, deadline: float) -> Topology:
        """The topology; with suspect nodes it is discovered again first, in half of the time."""
        now_s, topology = time.monotonic(), self._topology
        if topology is None:
            return self._discover(now_s, min(deadline, self._deadline()))
        if self._suspects and now_s - self._discovered_s > REDISCOVERY_S:
            try:
                return self._discover(now_s, (now_s + min(deadline, self._deadline())) / 2)
            except StoreUnavailable as error:
                log.warning("cluster topology not refreshed", reason=str(error))
        return topology

    def _discover(self, since_s: float, deadline: float) -> Topology:
        """The topology as of ``since_s`` or later. Raises StoreUnavailable if no server reports it in time."""
        if not self._lock.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise StoreUnavailable("the cluster's topology was not reported in time")
        try:
            if self._topology is None or self._discovered_s < since_s:
                began_s = time.monotonic()
                nodes = self._query_primaries(deadline)
                if self._topology is None or self._topology.nodes != nodes:
                    self._topology = Topology(nodes)
                self._discovered_s = began_s
                self._suspects.clear()
            return self._topology
        finally:
            self._lock.release()

    def _query_primaries(self, deadline: float) -> tuple[RedisNode, ...]:
        """The primaries as the first server that answers reports them; suspects, then seeds are asked last."""
        known = self._topology.nodes if self._topology else ()
        servers = [node.server for node in sorted(known, key=self._suspects.__contains__)] + self._seeds
        reason = StoreUnavailable("no server of the cluster was asked in time")
        for i, server in enumerate(servers):
            now_s = time.monotonic()
            server_deadline = now_s + (deadline - now_s) / (len(servers) - i)
            try:
                _, (rows,) = complete(server.request([("CLUSTER", "SLOTS")], server_deadline))
                if isinstance(rows, Exception):
                    raise StoreUnavailable(f"store_url names no cluster: {rows}")
            except StoreUnavailable as error:
                reason = error
            else:
                return tuple(self._nodes(server, rows))
        raise reason

    def _nodes(self, asked: Server, rows: Replies) -> Iterator[RedisNode]:
        """The primaries in a server's answer; those known before are the same objects."""
        before = {(node.name, node.slots): node for node in (self._topology.nodes if self._topology else ())}
        for host, port, slots in sorted(parse_primaries(rows).values()):
            name = f"{host or asked.url.host}:{port}"
            if (node := before.get((name, slots))) is None:
                url = asked.peer_url(name)
                node = RedisNode(self._servers.setdefault(url, Server(url)), self.timeout_ms, slots, name)
            yield node


def _raise_if_none(answers: Sequence[NodeAnswer[T]]) -> None:
    """Raise the reason of one node if none answered."""
    reasons = [answer for _, _, answer in answers if isinstance(answer, StoreUnavailable)]
    if reasons and len(reasons) == len(answers):
        raise reasons[0]
