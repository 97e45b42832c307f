"""One stream, without a server: what it says, when, and how it ends. Reads are told; paces are short."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from featurestore.api.errors import Problem, Unauthorised, Unavailable
from featurestore.api.reply import Reply, encode
from featurestore.api.sse.events import BEGINNING, HEARTBEAT, Ending
from featurestore.api.sse.stream import Stream, Timing
from featurestore.permission import Denial
from featurestore.serving.answer import Answer, Status, ViewAnswer

SLOW = Timing(heartbeat_s=60, life_s=60, pause_s=0, retry_s=60)
PRESENT, STALE = ViewAnswer(Status.PRESENT, "then", 0.1), ViewAnswer(Status.STALE, "then", None, "rebuilt")
REFUSED = ViewAnswer(Status.WITHHELD, reason=Denial.REFUSED)
UNVOUCHED = ViewAnswer(Status.WITHHELD, reason=Denial.UNVOUCHED)


def answer(value: Any = 0, view: ViewAnswer = PRESENT, at: str = "now") -> Reply:
    return Reply(200, encode(Answer("chat", "service", at, {"spend": value}, {"spend": view})))


def problem(found: Problem) -> Reply:
    return found.reply("request-1")


class Scene:
    """A stream whose next read is ``now``, and what it says."""

    def __init__(self, now: Reply, timing: Timing):
        self.now, self.reads = now, 0
        self.stream = Stream("request-1", self.read, timing)
        self._events: AsyncIterator[bytes] = self.stream.events(now)

    async def read(self) -> Reply:
        self.reads += 1
        return self.now

    async def says(self) -> bytes:
        """The next thing that it says."""
        async with asyncio.timeout(5):
            return await anext(self._events)

    async def name(self) -> bytes:
        """The name of the next event."""
        return (await self.says()).split(b"\n")[1].removeprefix(b"event: ")

    def changes(self, now: Reply) -> None:
        self.now = now
        self.stream.on_change()

    async def is_over(self) -> bool:
        try:
            await self.says()
        except StopAsyncIteration:
            return True
        return False


Play = Callable[[Scene], Coroutine[Any, Any, None]]


def played(play: Play, timing: Timing = SLOW, first: Reply | None = None) -> None:
    async def run() -> None:
        scene = Scene(first or answer(), timing)
        assert await scene.says() == BEGINNING
        await play(scene)

    asyncio.run(run())


def test_event_has_the_answer_of_a_read_unchanged() -> None:
    async def play(scene: Scene) -> None:
        assert await scene.says() == b"id: request-1-1\nevent: features\ndata: " + answer().body + b"\n\n"
        scene.changes(answer(1))
        assert await scene.says() == b"id: request-1-2\nevent: features\ndata: " + answer(1).body + b"\n\n"

    played(play)


def test_equal_answer_is_not_sent_again() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        scene.changes(answer(0, ViewAnswer(Status.PRESENT, "later", 9.9), at="later"))
        speaking = asyncio.ensure_future(scene.says())
        while not scene.reads:
            await asyncio.sleep(0)
        scene.changes(answer(0, STALE))
        assert b'"stale"' in await speaking
        assert scene.reads == 2

    played(play)


def test_change_before_the_first_event_is_not_lost() -> None:
    async def play(scene: Scene) -> None:
        scene.changes(answer(1))  # the first answer was read before it
        assert answer(0).body in await scene.says()
        assert answer(1).body in await scene.says()

    played(play)


def test_slow_client_holds_one_event_and_gets_the_newest() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        for value in range(1, 100):  # nobody takes what the stream has to say
            scene.changes(answer(value))
            await asyncio.sleep(0)
        assert scene.reads == 0
        assert answer(99).body in await scene.says()
        assert scene.reads == 1

    played(play)


def test_reads_are_a_pause_apart() -> None:
    async def play(scene: Scene) -> None:
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        await scene.says()
        for value in range(1, 4):
            scene.changes(answer(value))
            await scene.says()
        assert loop.time() - began >= 3 * 0.05

    played(play, SLOW._replace(pause_s=0.05))


def test_quiet_stream_sends_heartbeats_and_reads_again() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        assert await scene.says() == HEARTBEAT
        scene.now = answer(1)  # and nobody tells of it
        assert answer(1).body in await scene.says()

    played(play, SLOW._replace(heartbeat_s=0.02))


@pytest.mark.parametrize("passing", [answer(0, STALE), answer(0, UNVOUCHED), problem(Unavailable("away"))])
def test_temporary_state_is_read_again_soon(passing: Reply) -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        scene.now = answer(1)
        assert answer(1).body in await scene.says()

    played(play, SLOW._replace(retry_s=0.02), passing)


def test_unavailable_is_sent_once_and_recovery_always() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        scene.changes(problem(Unavailable("away")))
        assert await scene.name() == b"unavailable"
        scene.changes(problem(Unavailable("away")))
        speaking = asyncio.ensure_future(scene.name())
        while scene.reads < 2:
            await asyncio.sleep(0)
        scene.changes(answer())  # the values are those from before
        assert await speaking == b"features"

    played(play)


def test_withdrawal_is_the_last_answer() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        scene.changes(answer(0, REFUSED))
        assert await scene.name() == b"features"
        assert b'"reason":"withheld"' in await scene.says()
        assert await scene.is_over()

    played(play)


def test_revoked_key_closes_the_stream_with_its_problem() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        scene.changes(problem(Unauthorised(presented=True)))
        assert b'"reason":"refused","detail":"Send an API key' in await scene.says()
        assert await scene.is_over()

    played(play)


def test_stream_ends_after_its_lifetime() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        assert b'"reason":"lifetime"' in await scene.says()
        assert await scene.is_over()

    played(play, SLOW._replace(life_s=0.02))


def test_first_ending_counts_and_nothing_more_is_read() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        scene.stream.end(Ending.STOPPING)
        scene.stream.end(Ending.GONE)
        assert b'"reason":"stopping"' in await scene.says()
        assert (await scene.is_over(), scene.reads) == (True, 0)

    played(play)


def test_disconnected_client_is_sent_nothing() -> None:
    async def play(scene: Scene) -> None:
        await scene.says()
        scene.stream.end(Ending.GONE)
        assert await scene.is_over()

    played(play)
