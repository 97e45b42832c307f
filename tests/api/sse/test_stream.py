"""One event stream without a server: its events, its timing, its end. Tests set the answers; intervals are short."""

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


class StreamHarness:
    """A stream whose next read answers ``now``."""

    def __init__(self, now: Reply, timing: Timing):
        self.now, self.reads = now, 0
        self.stream = Stream("request-1", self.read, timing)
        self._events: AsyncIterator[bytes] = self.stream.events(now)

    async def read(self) -> Reply:
        self.reads += 1
        return self.now

    async def next_bytes(self) -> bytes:
        """The next bytes that the stream sends."""
        async with asyncio.timeout(5):
            return await anext(self._events)

    async def next_name(self) -> bytes:
        """The name of the next event."""
        return (await self.next_bytes()).split(b"\n")[1].removeprefix(b"event: ")

    def change(self, now: Reply) -> None:
        self.now = now
        self.stream.on_change()

    async def is_over(self) -> bool:
        try:
            await self.next_bytes()
        except StopAsyncIteration:
            return True
        return False


Scenario = Callable[[StreamHarness], Coroutine[Any, Any, None]]


def run_scenario(scenario: Scenario, timing: Timing = SLOW, first: Reply | None = None) -> None:
    async def run() -> None:
        harness = StreamHarness(first or answer(), timing)
        assert await harness.next_bytes() == BEGINNING
        await scenario(harness)

    asyncio.run(run())


def test_event_has_the_answer_of_a_read_unchanged() -> None:
    async def scenario(harness: StreamHarness) -> None:
        assert await harness.next_bytes() == b"id: request-1-1\nevent: features\ndata: " + answer().body + b"\n\n"
        harness.change(answer(1))
        assert await harness.next_bytes() == b"id: request-1-2\nevent: features\ndata: " + answer(1).body + b"\n\n"

    run_scenario(scenario)


def test_equal_answer_is_not_sent_again() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        harness.change(answer(0, ViewAnswer(Status.PRESENT, "then", 9.9), at="later"))
        sending = asyncio.ensure_future(harness.next_bytes())
        while not harness.reads:
            await asyncio.sleep(0)
        harness.change(answer(0, STALE))
        assert b'"stale"' in await sending
        assert harness.reads == 2

    run_scenario(scenario)


def test_change_before_the_first_event_is_not_lost() -> None:
    async def scenario(harness: StreamHarness) -> None:
        harness.change(answer(1))  # the first answer was read before it
        assert answer(0).body in await harness.next_bytes()
        assert answer(1).body in await harness.next_bytes()

    run_scenario(scenario)


def test_slow_client_holds_one_event_and_gets_the_newest() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        for value in range(1, 100):  # the client reads nothing
            harness.change(answer(value))
            await asyncio.sleep(0)
        assert harness.reads == 0
        assert answer(99).body in await harness.next_bytes()
        assert harness.reads == 1

    run_scenario(scenario)


def test_reads_are_a_pause_apart() -> None:
    async def scenario(harness: StreamHarness) -> None:
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        await harness.next_bytes()
        for value in range(1, 4):
            harness.change(answer(value))
            await harness.next_bytes()
        assert loop.time() - began >= 3 * 0.05

    run_scenario(scenario, SLOW._replace(pause_s=0.05))


def test_quiet_stream_sends_heartbeats_and_reads_again() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        assert await harness.next_bytes() == HEARTBEAT
        harness.now = answer(1)  # without a notification
        assert answer(1).body in await harness.next_bytes()

    run_scenario(scenario, SLOW._replace(heartbeat_s=0.02))


@pytest.mark.parametrize("temporary", [answer(0, STALE), answer(0, UNVOUCHED), problem(Unavailable("no answer"))])
def test_temporary_state_is_read_again_soon(temporary: Reply) -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        harness.now = answer(1)
        assert answer(1).body in await harness.next_bytes()

    run_scenario(scenario, SLOW._replace(retry_s=0.02), temporary)


def test_unavailable_is_sent_once_and_recovery_always() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        harness.change(problem(Unavailable("no answer")))
        assert await harness.next_name() == b"unavailable"
        harness.change(problem(Unavailable("no answer")))
        sending = asyncio.ensure_future(harness.next_name())
        while harness.reads < 2:
            await asyncio.sleep(0)
        harness.change(answer())  # with the values from before
        assert await sending == b"features"

    run_scenario(scenario)


def test_withdrawal_is_the_last_answer() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        harness.change(answer(0, REFUSED))
        assert await harness.next_name() == b"features"
        assert b'"reason":"withheld"' in await harness.next_bytes()
        assert await harness.is_over()

    run_scenario(scenario)


def test_revoked_key_closes_the_stream_with_its_problem() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        harness.change(problem(Unauthorised(presented=True)))
        assert b'"reason":"refused","detail":"Send an API key' in await harness.next_bytes()
        assert await harness.is_over()

    run_scenario(scenario)


def test_stream_ends_after_its_lifetime() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        assert b'"reason":"lifetime"' in await harness.next_bytes()
        assert await harness.is_over()

    run_scenario(scenario, SLOW._replace(life_s=0.02))


def test_first_ending_counts_and_nothing_more_is_read() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        harness.stream.end(Ending.STOPPING)
        harness.stream.end(Ending.GONE)
        assert b'"reason":"stopping"' in await harness.next_bytes()
        assert (await harness.is_over(), harness.reads) == (True, 0)

    run_scenario(scenario)


def test_disconnected_client_is_sent_nothing() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        harness.stream.end(Ending.GONE)
        assert await harness.is_over()

    run_scenario(scenario)


def test_later_start_of_a_view_is_an_event() -> None:
    async def scenario(harness: StreamHarness) -> None:
        await harness.next_bytes()
        harness.change(answer(view=ViewAnswer(Status.PRESENT, "later", 0.1)))
        assert b'"later"' in await harness.next_bytes()

    run_scenario(scenario)
