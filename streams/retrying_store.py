"""Online store as the streams use it: calls are repeated while it is unavailable or not vouched for."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from featurestore.store.protocol import OnlineStore, StoredSubject, StoreUnavailable

RETRY_S = 0.05
READ_TIMEOUT_MS = 2_000

log = structlog.get_logger(__name__)
T = TypeVar("T")


class RetryingStore:
    """Caller of the store ``online``, from threads of its own.

    ``waiting_for`` is the reason why calls are being repeated, None while they succeed; the health page shows it.
    """

    def __init__(self, online: OnlineStore):
        self.online = online
        self.waiting_for: str | None = None
        self._threads = ThreadPoolExecutor(thread_name_prefix="store")

    async def call_once(self, call: Callable[..., T], *arguments: object) -> T:
        """The result of a store call. Raises StoreUnavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def call(self, call: Callable[..., T], *arguments: object) -> T:
        """The result of a store call, as soon as the store can answer."""
        result = await self._answer(call, *arguments)
        self._resume()
        return result

    async def read_subjects(self, subjects: Sequence[str]) -> list[StoredSubject]:
        """Each subject's permission and recreation mark, from a run that is vouched for."""
        while not (reading := await self._answer(self.online.read, subjects, (), (), READ_TIMEOUT_MS)).vouched:
            hint = "is `manage.py verify_store` running?"
            await self._wait(f"a node of the store is unavailable or not vouched for: {hint}")
        self._resume()
        return reading.subjects

    async def _answer(self, call: Callable[..., T], *arguments: object) -> T:
        while True:
            try:
                return await self.call_once(call, *arguments)
            except StoreUnavailable as error:
                await self._wait(str(error))

    async def _wait(self, reason: str) -> None:
        if self.waiting_for != reason:
            log.warning("waiting for the store", reason=reason)
            self.waiting_for = reason
        await asyncio.sleep(RETRY_S)

    def _resume(self) -> None:
        if self.waiting_for:
            log.info("store available again")
            self.waiting_for = None
