"""Calls on several servers at once: a silent server delays no other."""

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
    """Three connections: our end and the server's."""
    made = [socket.socketpair() for _ in range(3)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


def read_call(pair: Pair, deadline: float, received: list[str]) -> Call[str]:
    """A call that receives once, as the store's calls do."""
    yield pair[0], deadline
    pair[0].settimeout(max(deadline - time.monotonic(), 0.001))
    try:
        said = pair[0].recv(10).decode()
    except TimeoutError:
        raise StoreUnavailable("late") from None
    received.append(said)
    return said


def test_answers_are_received_as_they_come_and_returned_in_order(pairs: list[Pair]) -> None:
    received: list[str] = []
    calls = [read_call(pair, time.monotonic() + 5, received) for pair in pairs]

    def connect_call() -> Call[str]:
        pairs[2][1].sendall(b"c")
        yield None, time.monotonic() + 5  # connects when no call awaits bytes
        return "connected"

    pairs[1][1].sendall(b"b")
    pairs[0][1].sendall(b"a")
    assert complete_all([calls[0], connect_call(), calls[1], calls[2]]) == ["a", "connected", "b", "c"]
    assert sorted(received) == ["a", "b", "c"]


def test_silent_servers_are_late_at_their_own_deadlines(pairs: list[Pair]) -> None:
    began, received = time.monotonic(), list[str]()
    calls = [read_call(pair, began + wait_s, received) for pair, wait_s in zip(pairs, (0.2, 0.1, 5), strict=True)]
    pairs[2][1].sendall(b"c")
    late, later, answer = complete_all(calls)
    assert (str(late), str(later), answer) == ("late", "late", "c")
    assert received == ["c"]
    assert time.monotonic() - began < 1


def test_an_unexpected_exception_ends_every_call(pairs: list[Pair]) -> None:
    ended: list[str] = []

    def waiting() -> Call[str]:
        try:
            yield pairs[0][0], time.monotonic() + 5
            return "never"
        finally:
            ended.append("closed")

    def failing() -> Call[str]:
        raise ValueError("a bug")
        yield None, 0

    with pytest.raises(ValueError, match="a bug"):
        complete_all([abandoned := waiting(), failing()])
    assert ended == ["closed"]
    assert next(abandoned, None) is None


def test_complete_returns_the_value_of_a_call() -> None:
    def two_steps() -> Call[int]:
        yield None, 0
        yield None, 0
        return 3

    assert complete(two_steps()) == 3


def client_id(server: Server, *before: tuple[str, ...]) -> int:
    """Redis' number of a call's connection."""
    return complete(server.request([*before, ("CLIENT", "ID")], time.monotonic() + 5))[1][-1]


def concurrent_ids(server: Server, url: str, calls: int) -> list[int]:
    """Redis' numbers of the connections of calls that wait at the same time."""
    queue = f"queue-{uuid4()}"
    with Redis.from_url(url) as other, ThreadPoolExecutor(calls) as threads:
        going = [threads.submit(client_id, server, ("BLPOP", queue, "30")) for _ in range(calls)]
        waiting = partial(other.client_list, _type="normal")
        eventually(lambda: sum(one["cmd"] == "blpop" for one in waiting()) >= calls, "all calls wait")
        other.rpush(queue, *range(calls))
        return [call.result() for call in going]


def test_concurrent_calls_have_connections_that_are_reused(redis_server: str) -> None:
    server = Server(redis_server)
    first = client_id(server)
    assert client_id(server) == first
    found = concurrent_ids(server, redis_server, 3)
    assert len({*found}) == 3
    assert first in found
    assert client_id(server) in found


def test_all_broken_connections_are_replaced_at_the_first_call(redis_server: str) -> None:
    server = Server(redis_server)
    broken = concurrent_ids(server, redis_server, 3)
    with Redis.from_url(redis_server) as other:
        for number in broken:
            other.client_kill_filter(_id=str(number))
    assert client_id(server) not in broken
    assert client_id(server) not in broken


def test_an_abandoned_call_leaves_no_reply_to_the_next(redis_server: str) -> None:
    server = Server(redis_server)
    first = client_id(server)
    call = server.request([("ECHO", "a reply to other commands")], time.monotonic() + 5)
    next(call)
    call.close()
    assert client_id(server) != first
