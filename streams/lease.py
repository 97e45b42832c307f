"""The lease: a worker that lost its partitions without knowing it cannot write the changelog (trap 3).

Every changelog batch carries the time at which the last good heartbeat was *sent*, and the broker refuses a batch that
is older than ``longest_ms`` (``message.timestamp.before.max.ms``). It gives partitions away only a whole session after
the heartbeat came, so whatever it accepts was written by the owner. Asking for the group's generation before writing
would prove nothing: a stopped process believes what it knew before it was stopped.

In a rebalance the broker waits for this worker's rejoin, which waits for the batches in hand, and these wait for their
writes. So heartbeats renew the lease then too, though they are answered REBALANCE_IN_PROGRESS: until the worker has
asked to rejoin, or the broker may have stopped waiting (``REBALANCE_TIMEOUT_S``).

The broker's and the workers' clocks must agree to within ``longest_skew_ms``, which ``streams.clocks`` checks.
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
DISOWNED = {UnknownMemberIdError.errno, IllegalGenerationError.errno}


def longest_ms(settings: Settings) -> int:
    """The age at which the broker refuses a batch."""
    return settings.stream_session_ms * 2 // 3


def longest_skew_ms(settings: Settings) -> int:
    """How far a worker's clock may be from the broker's."""
    return settings.stream_session_ms - longest_ms(settings)


class LeaseLost(RuntimeError):
    """The broker refuses what this worker writes, and has given its partitions away, or sends no word of it."""


class Lease:
    """When this worker last knew, by the broker's word, that its partitions are its own."""

    def __init__(self, session_ms: int) -> None:
        self._renewed = 0.0
        self._settled = 0.0  # when a heartbeat or join was sent that was answered well: no rebalance had begun
        self._rejoining = self._disowned = False
        self._patience_s = session_ms / 1000

    def heartbeat_ms(self) -> float:
        """Time of sending the last heartbeat, or join, whose answer says that the partitions are ours, in seconds."""
        return self._renewed

    async def renewed_after(self, heartbeat_ms: float) -> None:
        """Wait for a later heartbeat than the one that ``heartbeat_ms`` tells of, a session at most. Raises LeaseLost."""
        deadline = time.monotonic() + self._patience_s
        while self._renewed <= heartbeat_ms:
            if self._disowned:  # only a rejoin helps, which waits for the write in hand
                raise LeaseLost("the changelog refused a write, and the broker has given the partitions away")
            if time.monotonic() > deadline:
                raise LeaseLost(f"no heartbeat for {self._patience_s} s after the changelog refused a write")
            await asyncio.sleep(POLL_S)

    def watch(self, coordinator: Any) -> None:
        """Learn from the answers to an aiokafka group coordinator."""
        send = coordinator._send_req

        async def send_and_learn(request: Any) -> Any:
            sent = time.time()
            if isinstance(request, JoinGroupRequest):
                self._rejoining = True
            response = await send(request)
            if isinstance(request, HeartbeatRequest | SyncGroupRequest):
                self._learn(request, sent, response.error_code)
            return response

        coordinator._send_req = send_and_learn

    def _learn(self, request: Any, sent: float, error_code: int) -> None:
        if error_code == 0:
            if isinstance(request, SyncGroupRequest):
                self._rejoining = self._disowned = False
            self._settled = max(self._settled, sent)
            self._renewed = max(self._renewed, sent)
        elif error_code in DISOWNED:
            self._disowned = True
        elif error_code == RebalanceInProgressError.errno and isinstance(request, HeartbeatRequest):
            waits_until = self._settled + REBALANCE_TIMEOUT_S - self._patience_s
            if not self._rejoining:
                self._renewed = max(self._renewed, min(sent, waits_until))
