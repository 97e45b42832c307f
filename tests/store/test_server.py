"""Calls on several servers at once: whoever is silent delays nobody else."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest
from redis import Redis

from devservers.waiting import eventually
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.server import Call, Server, complete, complete_all

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Three connections, ours and the server's end."""
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


def reading(pair: Pair, deadline: float, seen: list[str]) -> Call[str]:
    """What comes, as the real calls await it."""
    yield pair[0], deadline
    pair[0].settimeout(max(deadline - time.monotonic(), 0.001))
    try:
        said = pair[0].recv(10).decode()
    except TimeoutError:
        raise StoreUnavailable("late") from None
    seen.append(said)
    return said


def test_answers_are_taken_as_they_come_and_told_in_order(pairs: list[Pair]) -> None:
    seen: list[str] = []
    calls = [reading(pair, time.monotonic() + 5, seen) for pair in pairs]

    def hurrying() -> Call[str]:
        pairs[2][1].sendall(b"c")
        yield None, time.monotonic() + 5  # connects when nobody is waited for
        return "connected"

    pairs[1][1].sendall(b"b")
    pairs[0][1].sendall(b"a")
    assert complete_all([calls[0], hurrying(), calls[1], calls[2]]) == ["a", "connected", "b", "c"]
    assert sorted(seen) == ["a", "b", "c"]


def test_the_silent_are_late_each_at_its_own_deadline_and_the_others_answer(pairs: list[Pair]) -> None:
    began, seen = time.monotonic(), list[str]()
    calls = [reading(pair, began + wait_s, seen) for pair, wait_s in zip(pairs, (0.2, 0.1, 5), strict=True)]
    pairs[2][1].sendall(b"c")
    late, later, answer = complete_all(calls)
    assert (str(late), str(later), answer) == ("late", "late", "c")
    assert seen == ["c"]
    assert time.monotonic() - began < 1


def test_a_mistake_ends_every_call(pairs: list[Pair]) -> None:
    ended: list[str] = []

    def waiting() -> Call[str]:
        try:
            yield pairs[0][0], time.monotonic() + 5
            return "never"
        finally:
            ended.append("closed")

    def mistaken() -> Call[str]:
        raise ValueError("a mistake of ours")
        yield None, 0

    with pytest.raises(ValueError, match="a mistake of ours"):
        complete_all([kept := waiting(), mistaken()])
    assert ended == ["closed"]
    assert next(kept, None) is None


def test_one_call_is_completed() -> None:
    def two_steps() -> Call[int]:
        yield None, 0
        yield None, 0
        return 3

    assert complete(two_steps()) == 3


def client_id(server: Server, *before: tuple[str, ...]) -> int:
    """Redis' number of the connection that a call was on."""
    return complete(server.request([*before, ("CLIENT", "ID")], time.monotonic() + 5))[1][-1]


def ids_at_once(server: Server, url: str, calls: int) -> list[int]:
    """Redis' numbers of the connections of calls that all wait at the same time."""
    queue = f"queue-{uuid4()}"
    with Redis.from_url(url) as other, ThreadPoolExecutor(calls) as threads:
        going = [threads.submit(client_id, server, ("BLPOP", queue, "30")) for _ in range(calls)]
        waiting = partial(other.client_list, _type="normal")
        eventually(lambda: sum(one["cmd"] == "blpop" for one in waiting()) >= calls, "all of them wait")
        other.rpush(queue, *range(calls))
        return [call.result() for call in going]


def test_calls_at_once_have_a_connection_each_and_leave_it_to_the_next(redis_server: str) -> None:
    server = Server(redis_server)
    first = client_id(server)
    assert client_id(server) == first
    found = ids_at_once(server, redis_server, 3)
    assert len({*found}) == 3
    assert first in found
    assert client_id(server) in found


def test_connections_that_all_broke_are_replaced_at_the_first_call(redis_server: str) -> None:
    server = Server(redis_server)
    broken = ids_at_once(server, redis_server, 3)
    with Redis.from_url(redis_server) as other:
        for number in broken:
            other.client_kill_filter(_id=str(number))
    assert client_id(server) not in broken
    assert client_id(server) not in broken


def test_a_call_that_nobody_waits_for_leaves_no_answer_to_the_next(redis_server: str) -> None:
    server = Server(redis_server)
    first = client_id(server)
    call = server.request([("ECHO", "an answer of another question")], time.monotonic() + 5)
    next(call)
    call.close()
    assert client_id(server) != first
