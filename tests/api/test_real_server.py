"""A real server: schemathesis, a generated client, framing of bodies."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

from devservers.installation import Installation
from featurestore.api.body import LARGEST_BODY_BYTES
from tests.api.fuzz import api_of_a_shop, fuzz
from tests.api.test_body import EVENTS, FEATURES_PATH, VALID

pytestmark = pytest.mark.redis
Shop = tuple[Installation, httpx.Client]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with api_of_a_shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


def test_schemathesis_finds_only_documented_answers(shop: Shop, tmp_path: Path) -> None:
    """All checks of schemathesis. For more examples: python -m tests.api.fuzz --max-examples 1000."""
    made, client = shop
    done = fuzz(client, tmp_path, ["--max-examples", "20"])
    assert done.returncode == 0, done.stdout
    operations = len(client.get("/v1/openapi.json").json()["paths"])
    assert f"Tested: {operations}\n" in done.stdout
    requests = [line for line in made.logs("api") if line["event"] == "request"]
    assert len(requests) > 500
    assert [line for line in requests if line["level"] == "error" or line["status"] == 500] == []


@pytest.fixture(scope="module")
def generated(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Python package ``rapport_client``, generated from the document with the features of support_chat."""
    made, _ = shop
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.yml").write_text("post_hooks: []\n")
    (folder / "openapi.json").write_text(made.manage("openapi", "--service", "support_chat").stdout)
    program = Path(sys.executable).with_name("openapi-python-client")
    options = ["--path", "openapi.json", "--output-path", "rapport_client", "--meta", "none", "--config", "config.yml"]
    done = subprocess.run(
        [program, "generate", *options, "--fail-on-warning"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


def test_generated_client_reads_typed_answers(shop: Shop, generated: Path) -> None:
    _, own = shop
    rapport = import_module("rapport_client")
    models = import_module("rapport_client.models")

    def call(name: str, body: Any = None, client: Any = None) -> Any:
        module = import_module(f"rapport_client.api.{name}")
        token = own.headers["Authorization"].removeprefix("Bearer ")
        client = client or rapport.AuthenticatedClient(str(own.base_url), token=token)
        return module.sync_detailed(client=client, **({} if body is None else {"body": body}))

    known = call("customers.register_customer", models.CustomerRequest(customer_id="C50", region="EU", brand="lamp"))
    assert (known.status_code, known.parsed.created) == (201, True)
    decision = {"purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
    given = call("consents.record_consent", models.ConsentRequest.from_dict({"customer_id": "C50", **decision}))
    assert (given.status_code, given.parsed.effective) == (201, True)

    features = ["returns_90d", "last_sentiments", "tier"]
    query = {"service": "support_chat", "purpose": "service", "features": features}
    read = call("features.read_features", models.FeatureRequest(customer_id="C50", **query))
    assert read.status_code == 200
    answer = read.parsed.features
    assert type(answer).__name__ == "SupportChatFeatures"
    assert (answer.returns_90d, answer.last_sentiments, answer.tier) == (None, None, None)
    assert answer.spend_amount_sum_30d is import_module("rapport_client.types").UNSET, "it was not requested"
    assert read.parsed.views["mood"].status is models.Status.STALE, "no worker runs here"

    with_defaults = models.FeatureRequest.from_dict({"customer_id": "C50", "withheld": "defaults", **query})
    asked = call("features.read_features", with_defaults)
    answer = asked.parsed.features
    assert (answer.returns_90d, answer.last_sentiments, answer.tier) == (0, [], "bronze")
    assert asked.parsed.views["mood"].defaults is True

    batch = call("features.read_features_batch", models.BatchRequest(customer_ids=["C50", "unknown"], **query))
    assert [one.views["mood"].status for one in batch.parsed.results] == [models.Status.STALE, models.Status.WITHHELD]

    message = models.Message(author=models.MessageAuthor.CUSTOMER, conversation_id="c1", sentiment=0.5)
    source, now = models.ChatEventSource.CHAT, datetime.now(UTC)
    event = models.ChatEvent(customer_id="C50", id="m1", time=now, source=source, data=message)
    written = call("events.write_events", models.EventsRequest(events=[event]))
    assert (written.status_code, written.parsed.accepted) == (202, 1)

    listed = call("services.list_services").parsed
    specs = {spec.name: spec for service in listed.services for view in service.views for spec in view.features}
    assert (specs["spend_amount_sum_30d"].unit, specs["spend_amount_sum_30d"].nullable) == ("GBP", False)

    stranger = rapport.AuthenticatedClient(str(own.base_url), token="rap_nobody")
    refused = call("services.list_services", client=stranger).parsed
    assert (refused.status, refused.type_) == (401, "urn:rapport:problem:unauthorised")


# --------------------------------------------------------------------------------------------------- framing of bodies


def chunks(body: bytes) -> Iterator[bytes]:
    yield from (body[at : at + 7_000] for at in range(0, len(body), 7_000))


def framed(api: httpx.Client, head: str, sent: bytes) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to a request with a hand-written framing header."""
    authorization = api.headers["Authorization"]
    heads = [
        f"POST {FEATURES_PATH} HTTP/1.1",
        "Host: localhost",
        f"Authorization: {authorization}",
        "Connection: close",
        head,
    ]
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), timeout=20) as connection:
        connection.sendall("\r\n".join([*heads, "", ""]).encode() + sent)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head_, _, body = answer.partition(b"\r\n\r\n")
    return int(head_.split()[1]), json.loads(body) if body else {}


@pytest.mark.parametrize("path", [FEATURES_PATH, EVENTS])
def test_chunked_body_is_read(shop: Shop, path: str) -> None:
    answer = shop[1].post(path, content=chunks(b"[" + b" " * 20_000 + b"]"))
    assert (answer.status_code, answer.json()["detail"]) == (400, "Expected `object`, got `array`")
    assert shop[1].post(FEATURES_PATH, content=chunks(VALID)).status_code == 200


@pytest.mark.parametrize("path", [FEATURES_PATH, EVENTS])
@pytest.mark.parametrize("size", [LARGEST_BODY_BYTES + 1, 5_000_000])
def test_too_large_body_is_refused_chunked_or_not(shop: Shop, path: str, size: int) -> None:
    for content in (b" " * size, chunks(b" " * size)):
        answer = shop[1].post(path, content=content)
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:rapport:problem:too-large")


@pytest.mark.parametrize(
    "type_", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense", ""]
)
def test_content_type_is_ignored(shop: Shop, type_: str) -> None:
    assert shop[1].post(FEATURES_PATH, content=VALID, headers={"Content-Type": type_}).status_code == 200


def test_too_short_content_length_truncates_the_body(shop: Shop) -> None:
    status, problem = framed(shop[1], f"Content-Length: {len(VALID) - 1}", VALID)
    assert (status, problem["detail"]) == (400, "Input data was truncated")


def test_body_without_content_length_is_empty(shop: Shop) -> None:
    status, problem = framed(shop[1], "X-Nothing: here", VALID)
    assert (status, problem["detail"]) == (400, "The body is empty.")


@pytest.mark.parametrize(
    "head", ["Content-Length: abc", "Content-Length: -5", "Content-Length: 5\r\nContent-Length: 6"]
)
def test_malformed_content_length_is_refused(shop: Shop, head: str) -> None:
    assert framed(shop[1], head, VALID)[0] == 400


def test_malformed_chunk_is_an_empty_body(shop: Shop) -> None:
    status, problem = framed(shop[1], "Transfer-Encoding: chunked", b"zz\r\nhello\r\n0\r\n\r\n")
    assert (status, problem["detail"]) == (400, "The body is empty.")
