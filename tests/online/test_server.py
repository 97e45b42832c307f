"""Calls on several servers at once: whoever is silent delays nobody else."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from featurestore.online.server import Call, Server, at_once, complete
from featurestore.online.store import StoreUnavailable

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
    assert at_once([calls[0], hurrying(), calls[1], calls[2]]) == ["a", "connected", "b", "c"]
    assert sorted(seen) == ["a", "b", "c"]


def test_the_silent_are_late_each_at_its_own_deadline_and_the_others_answer(pairs: list[Pair]) -> None:
    began, seen = time.monotonic(), list[str]()
    calls = [reading(pair, began + wait_s, seen) for pair, wait_s in zip(pairs, (0.2, 0.1, 5), strict=True)]
    pairs[2][1].sendall(b"c")
    late, later, answer = at_once(calls)
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
        at_once([kept := waiting(), mistaken()])
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
    return complete(server.ask([*before, ("CLIENT", "ID")], time.monotonic() + 5))[1][-1]


def test_calls_at_once_have_a_connection_each_and_leave_it_to_the_next(redis_server: str) -> None:
    server = Server(redis_server)
    first = client_id(server)
    assert client_id(server) == first
    with ThreadPoolExecutor(3) as threads:
        going = [threads.submit(client_id, server, ("BLPOP", "nothing-comes", "0.2")) for _ in range(3)]
        at_once_ids = {call.result() for call in going}
    assert len(at_once_ids) == 3
    assert first in at_once_ids
    assert client_id(server) in at_once_ids


def test_connections_that_all_broke_are_replaced_at_the_first_call(redis_server: str) -> None:
    server = Server(redis_server)
    with ThreadPoolExecutor(3) as threads:
        going = [threads.submit(client_id, server, ("BLPOP", "nothing-comes", "0.2")) for _ in range(3)]
        broken = [call.result() for call in going]
    with Redis.from_url(redis_server) as other:
        for number in broken:
            other.client_kill_filter(_id=str(number))
    assert client_id(server) not in broken
    assert client_id(server) not in broken


def test_a_call_that_nobody_waits_for_leaves_no_answer_to_the_next(redis_server: str) -> None:
    server = Server(redis_server)
    first = client_id(server)
    call = server.ask([("ECHO", "an answer of another question")], time.monotonic() + 5)
    next(call)
    call.close()
    assert client_id(server) != first
