"""Recent events in a real control Redis: repeats are told for ten minutes, of one client, within a bound."""

from collections.abc import Iterator

import pytest
from redis import Redis

from featurestore.ingest import recent_events
from featurestore.ingest.recent_events import MOST, WINDOW_S, RecentEvents
from featurestore.store.server import Server

pytestmark = pytest.mark.redis
NOON_MS = 1_764_504_000_000
ONE, TWO, THREE = [("chat", "0" * 32, number) for number in (1, 2, 3)]


@pytest.fixture
def recent(redis_server: str) -> Iterator[RecentEvents]:
    control = redis_server.replace("/0", "/5")
    yield RecentEvents(Server(control))
    with Redis.from_url(control) as redis:
        redis.flushdb()


def test_repeat_is_told_within_a_call_and_after_it(recent: RecentEvents) -> None:
    assert recent.repeats("bot", [ONE, TWO, ONE], NOON_MS) == [False, False, True]
    recent.add("bot", [ONE, TWO], NOON_MS)
    assert recent.repeats("bot", [THREE, TWO, ONE], NOON_MS) == [False, True, True]


def test_events_of_another_client_source_or_customer_are_no_repeats(recent: RecentEvents) -> None:
    recent.add("bot", [ONE], NOON_MS)
    assert recent.repeats("other", [ONE], NOON_MS) == [False]
    assert recent.repeats("bot", [("mail", *ONE[1:]), (ONE[0], "1" * 32, ONE[2])], NOON_MS) == [False, False]


def test_repeat_is_told_for_ten_minutes_at_least_and_twenty_at_most(recent: RecentEvents, redis_server: str) -> None:
    recent.add("bot", [ONE], NOON_MS + WINDOW_S * 1000 - 1)  # the last moment of a window
    assert recent.repeats("bot", [ONE], NOON_MS + 2 * WINDOW_S * 1000 - 1) == [True]
    assert recent.repeats("bot", [ONE], NOON_MS + 2 * WINDOW_S * 1000) == [False]
    with Redis.from_url(redis_server.replace("/0", "/5")) as redis:
        (key,) = redis.keys("recent-events:*")
        assert 0 < redis.ttl(key) <= 2 * WINDOW_S


def test_events_of_a_client_are_remembered_up_to_a_bound(recent: RecentEvents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_events, "MOST", 2)
    assert MOST == 20_000
    recent.add("bot", [ONE, TWO], NOON_MS)
    recent.add("bot", [THREE], NOON_MS)
    assert recent.repeats("bot", [ONE, TWO, THREE], NOON_MS) == [True, True, False]


def test_no_repeat_is_told_while_the_control_redis_is_away() -> None:
    away = RecentEvents(Server("redis://127.0.0.1:1/0"))
    away.add("bot", [ONE], NOON_MS)
    assert away.repeats("bot", [ONE, ONE], NOON_MS) == [False, True]


def test_control_redis_that_refuses_is_logged_and_refuses_no_event(
    recent: RecentEvents, redis_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Redis.from_url(redis_server.replace("/0", "/5")) as redis:
        redis.set(recent_events.keys_of("bot", NOON_MS)[0], "of another type")
    assert recent.repeats("bot", [ONE], NOON_MS) == [False]
    assert "WRONGTYPE" in caplog.text
