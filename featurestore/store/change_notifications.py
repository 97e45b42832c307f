"""Word of changed subjects: what the store's scripts publish to those who follow a subject. For an asyncio process.

A subject's channel is named as its hash. Scripts publish only where somebody listens to their own server, so there is
one line to each primary, with the subjects that it owns. Redis keeps no word for who is away: whenever a subscription
begins, or begins again, its followers are told that something may have changed.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

import structlog
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from featurestore.store.cluster import ClusterStore
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.redis import RedisNode, RedisStore

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""So often it is looked which nodes there are and which runs answer there."""
AGAIN_S = 0.25
SILENT_S = 5.0
"""A line that says nothing for so long is asked whether it lives, and is given up after as long again."""

Told = Callable[[], None]
Heard = Callable[[str], None]


class Line:
    """The subscriptions at one node, on a connection that is made again whenever it ends.

    ``heard`` is called with a subject for every word of it, and when its subscription begins or begins again, or ends
    with the connection: then it is worth a look too.
    """

    def __init__(self, node: RedisNode, fill: str, subjects: Iterable[str], heard: Heard):
        self.node, self.fill, self.heard = node, fill, heard  # fill: the run that answered last, as its voucher says
        self._wanted = {subject: asyncio.Event() for subject in subjects}  # set while its subscription stands
        self._connection: AbstractConnection | None = None
        self._task = asyncio.create_task(self._run())

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def subscribe(self, subject: str) -> None:
        """Return when the subscription has begun."""
        if (stands := self._wanted.get(subject)) is None:
            stands = self._wanted[subject] = asyncio.Event()
            await self._send("SUBSCRIBE", key(subject))
        await stands.wait()

    async def unsubscribe(self, subject: str) -> None:
        self._wanted.pop(subject, None)
        await self._send("UNSUBSCRIBE", key(subject))

    async def renew(self) -> None:
        """Begin again, on a new connection: the server at the other end may be another one by now."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def raise_if_failed(self) -> None:
        """Raise what ended it, if anything did: only a mistake of ours can."""
        if self._task.done():
            self._task.result()

    async def _send(self, *command: str) -> None:
        """Send if there is a connection; one that comes later subscribes by itself."""
        if self._connection is not None and self._connection.is_connected:
            try:
                await self._connection.send_command(*command, check_health=False)
            except (RedisError, OSError):
                await self.renew()  # whoever reads from it sees its end

    async def _run(self) -> None:
        told_s = float("-inf")
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                if time.monotonic() - told_s > 60:
                    log.warning("no word of changes", node=self.node.name, reason=str(error))
                    told_s = time.monotonic()
            for subject, stands in self._wanted.items():
                if stands.is_set():
                    stands.clear()
                    self.heard(subject)
            await asyncio.sleep(AGAIN_S)

    async def _listen(self) -> None:
        timeout_s = self.node.timeout_ms / 1000
        # Only what connects is borrowed: the client's own PubSub would begin again without a word to us.
        pool = Redis.from_url(
            self.node.server.url,
            socket_connect_timeout=timeout_s,
            socket_timeout=SILENT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        ).connection_pool
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
            self._connection = connection
            if self._wanted:
                await connection.send_command("SUBSCRIBE", *map(key, self._wanted), check_health=False)
            while connection.is_connected:
                self._hear(await self._next(connection))
        finally:
            self._connection = None
            await connection.disconnect(nowait=True)

    @staticmethod
    async def _next(connection: AbstractConnection) -> list[bytes]:
        """The next word. Raises TimeoutError if not even a question is answered."""
        for _ in range(2):
            found: list[bytes] | None = await connection.read_response(timeout=SILENT_S)
            if found is not None:
                return found
            await connection.send_command("PING", check_health=False)
        raise TimeoutError("silent")

    def _hear(self, word: list[bytes]) -> None:
        kind, channel = word[:2]
        if kind not in (b"message", b"subscribe"):
            return
        subject = channel.decode()[4:-1]
        if kind == b"subscribe" and subject in self._wanted:
            self._wanted[subject].set()
        self.heard(subject)


class ChangeNotifier:
    """Tells followers of subjects, in the event loop, that something may have changed. What it is, a read says."""

    def __init__(self, store: RedisStore | ClusterStore, threads: Executor):
        self.store, self._threads = store, threads
        self._followers: dict[str, set[Told]] = {}
        self._lines: dict[RedisNode, Line] = {}

    @property
    def connected(self) -> bool:
        """Whether word comes from every node that is known."""
        return bool(self._lines) and all(line.connected for line in self._lines.values())

    async def subscribe(self, subject: str, told: Told, timeout_s: float) -> None:
        """Call ``told`` at every change from now on. Raises StoreUnavailable, and nobody follows."""
        followers = self._followers.setdefault(subject, set())
        followers.add(told)
        try:
            async with asyncio.timeout(timeout_s):
                await self._lines[self.node_of(subject)].subscribe(subject)
        except BaseException as error:
            await self.unsubscribe(subject, told)
            if isinstance(error, TimeoutError | StoreUnavailable):
                raise StoreUnavailable("store does not tell of changes") from None
            raise

    async def unsubscribe(self, subject: str, told: Told) -> None:
        """Call ``told`` no more."""
        followers = self._followers.get(subject, set())
        followers.discard(told)
        if not followers and self._followers.pop(subject, None) is not None:
            for line in list(self._lines.values()):  # they may change while one is spoken to
                if line.node.owns(subject):
                    await line.unsubscribe(subject)

    async def run(self) -> None:
        """Keep a line to every node; without end."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_S)
        finally:
            for line in self._lines.values():
                await line.close()

    def node_of(self, subject: str) -> RedisNode:
        """The node that owns a subject. Raises StoreUnavailable if none is known that does."""
        for node in list(self._lines):
            if node.owns(subject):
                return node
        raise StoreUnavailable("no node is known")

    def _heard(self, subject: str) -> None:
        for told in self._followers.get(subject, ()):
            told()

    async def _look(self) -> None:
        """See which nodes there are; where another run answers than before, or nobody vouches, begin again."""
        for known in self._lines.values():
            known.raise_if_failed()
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._fills)
        except StoreUnavailable as error:
            log.warning("which nodes there are is not told", reason=str(error))
            return
        for node in self._lines.keys() - found.keys():
            await self._lines.pop(node).close()
        for node, fill in found.items():
            if (line := self._lines.get(node)) is None:
                self._lines[node] = Line(node, fill, filter(node.owns, self._followers), self._heard)
            elif line.fill != fill:
                line.fill = fill
                await line.renew()

    def _fills(self) -> dict[RedisNode, str]:
        """The nodes and who answers there; of one that is away, nobody."""
        found = {}
        for node in self.store.nodes():
            try:
                found[node] = node.read([], [], [], node.timeout_ms).nodes[0].incarnation
            except StoreUnavailable:
                found[node] = ""
        return found
