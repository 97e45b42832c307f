"""Public pages: under any Host header, within a limit of each address, made again twice a second at most."""

import threading

import pytest
from django.db import DatabaseError
from django.test import Client

from featurestore.api import health, migrations, public_pages, recent_reply
from featurestore.api.errors import Unavailable
from featurestore.api.public_pages import PATHS, AddressLimit
from featurestore.api.recent_reply import RecentReply
from featurestore.api.reply import Reply
from tests.api.test_features import FEATURES_PATH, QUERY
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment

BY_ADDRESS = {"Host": "10.1.2.3:8000"}


@pytest.mark.parametrize("path", sorted(PATHS))
def test_public_page_is_answered_under_any_host(client: Client, environment: ServingEnvironment, path: str) -> None:
    assert client.get(path, headers=BY_ADDRESS).status_code == 200
    assert client.get(path, headers={"Host": "a b"}).status_code == 200
    assert client.head(path, headers=BY_ADDRESS).status_code == 200
    assert client.post(path, headers=BY_ADDRESS).status_code == 405
    assert "10.1.2.3" not in client.get(path, headers=BY_ADDRESS).text


@pytest.mark.parametrize("path", [FEATURES_PATH, "/v1/services", "/oauth/token", "/admin/", "/nothing", "/readyz/"])
def test_other_pages_are_refused_under_an_unknown_host(post: Post, environment: ServingEnvironment, path: str) -> None:
    assert post(path, QUERY, Host="10.1.2.3").status_code == 400


def test_each_address_may_ask_so_often_a_second(
    client: Client, environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [7.0]
    monkeypatch.setattr(public_pages, "limit", AddressLimit(2, lambda: now_s[0]))
    assert [client.get("/readyz").status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get("/metrics")
    assert (refused.json()["type"], refused["Retry-After"]) == ("urn:rapport:problem:too-often", "1")
    assert client.get("/readyz", REMOTE_ADDR="10.9.9.9").status_code == 200, "another address"
    assert client.get("/healthz").status_code == 200, "costs nothing"
    now_s[0] = 8.0
    assert client.get("/readyz").status_code == 200


def test_reply_is_made_again_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_reply, "MAX_AGE_S", 0.5)
    now_s, numbers = [0.0], iter(range(9))
    recent = RecentReply(lambda: Reply(200, str(next(numbers)).encode()), lambda: now_s[0])
    bodies = []
    for now_s[0] in (0.0, 0.4, 0.5, 0.9, 1.1):
        bodies.append(recent.get().body)
    assert bodies == [b"0", b"0", b"1", b"1", b"2"]


def test_slow_reply_keeps_one_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_reply, "FIRST_WAIT_S", 0.0)
    began, may_end, made = threading.Event(), threading.Event(), []

    def make() -> Reply:
        began.set()
        assert may_end.wait(10)
        made.append(Reply(200, str(len(made)).encode()))
        return made[-1]

    recent = RecentReply(make)
    for number in range(2):
        began.clear()
        may_end.clear()
        slow = threading.Thread(target=recent.get)
        slow.start()
        assert began.wait(10)
        if number == 0:
            with pytest.raises(Unavailable):
                recent.get()
        else:
            assert recent.get().body == b"0", "the old one"
        may_end.set()
        slow.join()
    assert len(made) == 2


def test_page_that_is_not_made_yet_is_a_503(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> Reply:
        raise Unavailable("The page is being made.")

    monkeypatch.setattr(health.METRICS, "get", busy)
    refused = client.get("/metrics")
    assert (refused.status_code, refused["Content-Type"]) == (503, "application/problem+json")


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not seen the database with every migration."""
    monkeypatch.setattr(migrations, "applied", migrations.Applied())


@pytest.mark.usefixtures("unseen")
def test_not_ready_before_every_migration_ran(
    client: Client, environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shipped = migrations.shipped_migrations()
    assert {("consent", "0001_initial"), ("auth", "0001_initial"), ("guardian", "0001_initial")} <= shipped
    monkeypatch.setattr(migrations, "shipped_migrations", lambda: shipped | {("consent", "9999_next")})
    response = client.get("/readyz")
    assert (response.status_code, response.json()["checks"]["database"]) == (503, "not migrated")
    assert "consent.9999_next" in caplog.text
    monkeypatch.setattr(migrations, "shipped_migrations", lambda: shipped)
    assert client.get("/readyz").status_code == 200


@pytest.mark.usefixtures("unseen")
def test_migrations_are_asked_for_until_all_are_applied(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert migrations.unapplied_migrations() == []

    def fail(self: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(migrations.MigrationRecorder, "applied_migrations", fail)
    assert migrations.unapplied_migrations() == []


def test_description_of_the_api_is_made_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get("/v1/openapi.json")
    monkeypatch.setattr("featurestore.api.documents.components", lambda: pytest.fail("made again"))
    again = client.get("/v1/openapi.json")
    assert again.content == first.content
    assert again["Cache-Control"] == "max-age=300"
