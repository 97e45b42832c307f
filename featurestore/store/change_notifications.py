"""Change notifications: messages on a subject's pub/sub channel, which the store's scripts publish at its changes.

A channel is named as the subject's hash. A script publishes only where its own server has a subscriber, so this process
keeps a connection to each primary, with the subjects that it owns. Redis keeps no messages for a subscriber that is
disconnected: whenever a subscription begins or begins again, its callbacks are called as at a change. For asyncio.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from featurestore.servers.redis_clients import async_client
from featurestore.store.cluster import ClusterStore
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.redis import RedisNode, RedisStore, subject_key

log = structlog.get_logger(__name__)

REFRESH_S = 1.0
"""Between two looks at the nodes and their store incarnations."""
RECONNECT_S = 0.25
IDLE_S = 5.0
"""After so long without a message a connection is pinged, and closed after as long again without an answer."""
LOG_S = 60.0

Callback = Callable[[], None]
SubjectCallback = Callable[[str], None]


class NotificationConnection:
    """Subscriptions at one node, on a connection that is made again whenever it ends.

    ``notify`` is called with a subject for each of its messages, and when its subscription begins, begins again or is
    lost with the connection: then it may have changed too.
    """

    def __init__(self, node: RedisNode, incarnation: str, subjects: Iterable[str], notify: SubjectCallback):
        self.node, self.incarnation, self.notify = node, incarnation, notify  # incarnation: as it was last read
        self._subscribed = {subject: asyncio.Event() for subject in subjects}  # set while the subscription is confirmed
        self._connection: AbstractConnection | None = None
        self._task = asyncio.create_task(self._run())

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def subscribe(self, subject: str) -> None:
        """Return when the subscription is confirmed."""
        if (confirmed := self._subscribed.get(subject)) is None:
            confirmed = self._subscribed[subject] = asyncio.Event()
            await self._send("SUBSCRIBE", subject_key(subject))
        await confirmed.wait()

    async def unsubscribe(self, subject: str) -> None:
        self._subscribed.pop(subject, None)
        await self._send("UNSUBSCRIBE", subject_key(subject))

    async def reconnect(self) -> None:
        """End the connection, after which a new one is made: the address may be another server's by now."""
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def raise_if_failed(self) -> None:
        """Raise the exception that ended the task, if one did; it is a bug."""
        if self._task.done():
            self._task.result()

    async def _send(self, *command: str) -> None:
        """Send if there is a connection; the next one subscribes to every subject by itself."""
        if self._connection is not None and self._connection.is_connected:
            try:
                await self._connection.send_command(*command, check_health=False)
            except (RedisError, OSError):
                await self.reconnect()  # ends the task's read

    async def _run(self) -> None:
        logged_s = float("-inf")
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                if time.monotonic() - logged_s > LOG_S:
                    log.warning("change notifications interrupted", node=self.node.name, reason=str(error))
                    logged_s = time.monotonic()
            for subject, confirmed in self._subscribed.items():
                if confirmed.is_set():
                    confirmed.clear()
                    self.notify(subject)
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        timeout_s = self.node.timeout_ms / 1000
        # Only the connection is redis-py's: its PubSub would reconnect without reporting it.
        pool = async_client(
            self.node.server.url,
            socket_connect_timeout=timeout_s,
            socket_timeout=IDLE_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        ).connection_pool
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
            self._connection = connection
            if self._subscribed:
                await connection.send_command("SUBSCRIBE", *map(subject_key, self._subscribed), check_health=False)
            while connection.is_connected:
                self._handle(await self._next_message(connection))
        finally:
            self._connection = None
            await connection.disconnect(nowait=True)

    @staticmethod
    async def _next_message(connection: AbstractConnection) -> list[bytes]:
        """The next message. Raises TimeoutError if not even a ping is answered."""
        for _ in range(2):
            message: list[bytes] | None = await connection.read_response(timeout=IDLE_S)
            if message is not None:
                return message
            await connection.send_command("PING", check_health=False)
        raise TimeoutError("no answer to a ping")

    def _handle(self, message: list[bytes]) -> None:
        kind, channel = message[:2]
        if kind not in (b"message", b"subscribe"):
            return
        subject = channel.decode()[4:-1]
        if kind == b"subscribe" and subject in self._subscribed:
            self._subscribed[subject].set()
        self.notify(subject)


class ChangeNotifier:
    """Callbacks of subjects, called in the event loop when something may have changed. A read shows what it is."""

    def __init__(self, store: RedisStore | ClusterStore, threads: Executor):
        self.store, self._threads = store, threads
        self._callbacks: dict[str, set[Callback]] = {}
        self._connections: dict[RedisNode, NotificationConnection] = {}

    @property
    def connected(self) -> bool:
        """Whether every known node is connected."""
        return bool(self._connections) and all(connection.connected for connection in self._connections.values())

    async def subscribe(self, subject: str, callback: Callback, timeout_s: float) -> None:
        """Call ``callback`` at every change from now on. Raises StoreUnavailable, and is then not subscribed."""
        self._callbacks.setdefault(subject, set()).add(callback)
        try:
            async with asyncio.timeout(timeout_s):
                await self._connections[self.node_of(subject)].subscribe(subject)
        except BaseException as error:
            await self.unsubscribe(subject, callback)
            if isinstance(error, TimeoutError | StoreUnavailable):
                raise StoreUnavailable("store confirms no subscription to changes") from None
            raise

    async def unsubscribe(self, subject: str, callback: Callback) -> None:
        """Call ``callback`` no more."""
        callbacks = self._callbacks.get(subject, set())
        callbacks.discard(callback)
        if not callbacks and self._callbacks.pop(subject, None) is not None:
            for connection in list(self._connections.values()):  # the dict may change while this awaits
                if connection.node.owns(subject):
                    await connection.unsubscribe(subject)

    async def run(self) -> None:
        """Keep a connection to every node; without end."""
        try:
            while True:
                await self._refresh()
                await asyncio.sleep(REFRESH_S)
        finally:
            for connection in self._connections.values():
                await connection.close()

    def node_of(self, subject: str) -> RedisNode:
        """The node that owns a subject. Raises StoreUnavailable if no known node does."""
        for node in list(self._connections):
            if node.owns(subject):
                return node
        raise StoreUnavailable("no node is known")

    def _notify(self, subject: str) -> None:
        for callback in self._callbacks.get(subject, ()):
            callback()

    async def _refresh(self) -> None:
        """Connect to new nodes, and again to those whose store incarnation has changed or is not vouched for."""
        for connection in self._connections.values():
            connection.raise_if_failed()
        try:
            incarnations = await asyncio.get_running_loop().run_in_executor(self._threads, self._incarnations)
        except StoreUnavailable as error:
            log.warning("store nodes not discovered", reason=str(error))
            return
        for node in self._connections.keys() - incarnations.keys():
            await self._connections.pop(node).close()
        for node, incarnation in incarnations.items():
            if (known := self._connections.get(node)) is None:
                subjects = filter(node.owns, self._callbacks)
                self._connections[node] = NotificationConnection(node, incarnation, subjects, self._notify)
            elif known.incarnation != incarnation:
                known.incarnation = incarnation
                await known.reconnect()

    def _incarnations(self) -> dict[RedisNode, str]:
        """Each node's store incarnation; "" where it does not answer or is not vouched for."""
        incarnations = {}
        for node in self.store.nodes():
            try:
                incarnations[node] = node.read([], [], [], node.timeout_ms).nodes[0].incarnation
            except StoreUnavailable:
                incarnations[node] = ""
        return incarnations
