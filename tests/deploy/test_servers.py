"""The local servers of tests and demo start, answer and stop."""

import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from playwright.sync_api import Browser
from redis import Redis

from devservers.redis_server import RedisServer


def test_redis_answers(redis_server: str) -> None:
    with Redis.from_url(redis_server) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


@pytest.mark.parametrize(("durable", "kept"), [(True, b"1"), (False, None)])
def test_only_a_durable_redis_keeps_data_after_a_kill(tmp_path, durable: bool, kept: bytes | None) -> None:
    server = RedisServer(tmp_path, durable=durable)
    server.start()
    with Redis.from_url(server.url) as client:
        client.set("key", 1)
        client.config_set("appendfsync", "always")
        client.set("key", 1)
        server.kill()
        server.start()
        assert client.get("key") == kept
        server.stop()


def test_kafka_creates_no_topic_by_itself(kafka: str) -> None:
    metadata = AdminClient({"bootstrap.servers": kafka}).list_topics("unknown", timeout=10)
    assert metadata.topics["unknown"].error
    assert len(metadata.brokers) == 1


def test_postgres_answers(postgres: str) -> None:
    with psycopg.connect(postgres) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_browser_shows_a_page(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<h1>Rapport</h1>")
    assert page.get_by_role("heading").inner_text() == "Rapport"
    page.close()
