"""Lease on the changelog: a worker that was replaced without noticing it cannot write any more (trap 3 of
docs/decisions/faust-traps.md).

Invariant: the broker accepts a changelog batch only from the owner of the partition. Every batch carries the time at
which the last good heartbeat was *sent*. The broker refuses a batch older than ``longest_ms``
(``message.timestamp.before.max.ms``), and gives partitions away only a whole session, which is longer, after the
heartbeat *came*. Comparing the consumer group's generation before a write would prove nothing: a process that was
stopped and continues still sees the group generation from before.

In a rebalance the broker waits for this worker's rejoin, which waits for the micro-batches being handled, and these
wait for their writes. So heartbeats renew the lease then too, though they are answered REBALANCE_IN_PROGRESS: until the
worker has asked to rejoin, or the broker may have stopped waiting (``REBALANCE_TIMEOUT_S``).

The clocks of broker and workers must agree to within ``longest_skew_ms``, which ``streams.clock_check`` checks.
"""

import asyncio
import time
from typing import Any

from aiokafka.errors import IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from featurestore.config import Settings

POLL_S = 0.02
REBALANCE_TIMEOUT_S = 60.0
"""How long the broker waits in a rebalance for each member to rejoin."""
REMOVED_FROM_GROUP = {UnknownMemberIdError.errno, IllegalGenerationError.errno}


def longest_ms(settings: Settings) -> int:
    """The age at which the broker refuses a batch."""
    return settings.stream_session_ms * 2 // 3


def longest_skew_ms(settings: Settings) -> int:
    """How far a worker's clock may be from the broker's."""
    return settings.stream_session_ms - longest_ms(settings)


class LeaseLost(RuntimeError):
    """The broker refuses this worker's writes, and has given its partitions away or does not answer heartbeats."""


class Lease:
    """The time at which this worker last knew, by an answer of the broker, that its partitions are its own.

    ``heartbeat_ms``: when the last heartbeat, or join, with such an answer was sent.
    """

    def __init__(self, session_ms: int) -> None:
        self.heartbeat_ms = 0
        self._stable_ms = 0  # when a heartbeat or join was sent whose answer says that no rebalance had begun
        self._rejoining = self._removed = False
        self._session_ms = session_ms

    async def renewed_after(self, heartbeat_ms: int) -> None:
        """Wait for a later heartbeat than the one of ``heartbeat_ms``, a session at most. Raises LeaseLost."""
        deadline_s = time.monotonic() + self._session_ms / 1000
        while self.heartbeat_ms <= heartbeat_ms:
            if self._removed:  # only a rejoin helps, which waits for the write that waits here
                raise LeaseLost("the changelog refused a write, and the broker has given the partitions away")
            if time.monotonic() > deadline_s:
                raise LeaseLost(f"no heartbeat for {self._session_ms / 1000} s after the changelog refused a write")
            await asyncio.sleep(POLL_S)

    def watch(self, coordinator: Any) -> None:
        """Renew the lease by the answers that an aiokafka group coordinator gets."""
        send = coordinator._send_req

        async def send_and_renew(request: Any) -> Any:
            # The time of sending: the broker's session runs from when the heartbeat came, which is later, so a lease
            # that counts from here ends first. Counting from the answer, a worker stopped in between would outlive it.
            sent_ms = int(time.time() * 1000)
            if isinstance(request, JoinGroupRequest):
                self._rejoining = True  # before it is sent: from its arrival on partitions may be given away
            response = await send(request)
            if isinstance(request, HeartbeatRequest | SyncGroupRequest):
                self._renew(request, sent_ms, response.error_code)
            return response

        coordinator._send_req = send_and_renew

    def _renew(self, request: Any, sent_ms: int, error_code: int) -> None:
        if error_code == 0:
            if isinstance(request, SyncGroupRequest):
                self._rejoining = self._removed = False
            self._stable_ms = max(self._stable_ms, sent_ms)
            self.heartbeat_ms = max(self.heartbeat_ms, sent_ms)
        elif error_code in REMOVED_FROM_GROUP:
            self._removed = True
        elif error_code == RebalanceInProgressError.errno and isinstance(request, HeartbeatRequest):
            # The rebalance may have begun right after the last stable answer; its end may give the partitions away.
            waits_until_ms = self._stable_ms + int(REBALANCE_TIMEOUT_S * 1000) - self._session_ms
            if not self._rejoining:
                self.heartbeat_ms = max(self.heartbeat_ms, min(sent_ms, waits_until_ms))
