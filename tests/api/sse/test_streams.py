"""Event streams served by their process: changes, withdrawals, limits, restarts."""

import json
import signal
import time

import httpx
import pytest

from devservers.waiting import eventually
from featurestore.accesslog.batches import decode
from featurestore.accesslog.stream import RecordStream
from featurestore.api.sse.events import MEDIA_TYPE
from tests.api.sse.conftest import QUERY, Serve, StreamEnvironment
from tests.kit.event_stream import Listener

SPENT = "spend_amount_sum_1h"
GONE = 'rapport_sse_closed_total{reason="gone"}'
REVOKE = "from featurestore.access.models import ApiKey\nfrom featurestore.access.services import revoke\n" + (
    "revoke(ApiKey.objects.get(key_id={key_id!r}), actor='test')"
)


def test_stream_sends_the_whole_answer_and_each_change(shop: StreamEnvironment) -> None:
    customer = shop.customer()
    stream = shop.listen(customer)
    assert (stream.status, stream.headers["content-type"]) == (200, MEDIA_TYPE)
    assert stream.headers["cache-control"] == "no-store, no-transform"
    first = stream.newest()
    assert (first.event, first.data["features"][SPENT]) == ("features", 10)
    assert first.data.keys() == {"service", "purpose", "at", "features", "views"}
    assert first.id == f"{stream.headers['x-request-id']}-1"
    shop.buy(customer)
    assert stream.until_value(SPENT, 20).id.endswith("-2")
    shop.buy(customer)
    assert stream.until_value(SPENT, 30).id.endswith("-3")
    stream.disconnect()


def test_stream_sends_only_the_requested_features(shop: StreamEnvironment) -> None:
    stream = shop.listen(shop.customer(), features=["returns_90d"])
    assert stream.newest().data["features"] == {"returns_90d": 0}
    stream.disconnect()


def test_stream_sends_nothing_of_another_customer(shop: StreamEnvironment) -> None:
    ann, bob = shop.customer(), shop.customer()
    of_ann, of_bob = shop.listen(ann, features=[SPENT]), shop.listen(bob, features=[SPENT])
    of_ann.newest()
    of_bob.newest()
    for _ in range(5):
        shop.buy(ann)
    of_ann.until_value(SPENT, 60)
    comments = of_bob.comments
    eventually(lambda: of_bob.comments > comments + 1, "the other stream was read meanwhile", within_s=10)
    assert [event.data["features"][SPENT] for event in of_bob.received] == [10]
    of_ann.disconnect()
    of_bob.disconnect()


def test_two_streams_of_a_customer_are_independent(quiet_shop: StreamEnvironment) -> None:
    customer = quiet_shop.customer()
    streams = [quiet_shop.listen(customer), quiet_shop.listen(customer)]
    quiet_shop.buy(customer)
    for stream in streams:
        stream.until_value(SPENT, 20)
    left = metric(quiet_shop, GONE)
    streams[0].disconnect()
    eventually(lambda: metric(quiet_shop, GONE) > left, "its disconnection is noticed", within_s=10)
    quiet_shop.buy(customer)
    streams[1].until_value(SPENT, 30)
    streams[1].disconnect()


def test_burst_is_coalesced_and_ends_with_the_newest(shop: StreamEnvironment) -> None:
    customer = shop.customer()
    stream = shop.listen(customer)
    stream.newest()
    for _ in range(60):
        number = shop.buy(customer)
    assert number == 61
    stream.until_value(SPENT, 610)
    values = [event.data["features"][SPENT] for event in stream.received]
    assert values == sorted(values)
    assert len(values) < 60
    stream.disconnect()


def test_withdrawal_closes_the_stream(quiet_shop: StreamEnvironment) -> None:
    customer = quiet_shop.customer()
    stream = quiet_shop.listen(customer)
    stream.newest()
    quiet_shop.environment.permit(customer, service=False)
    closing = stream.until_event("closed")
    assert (closing.data["reason"], closing.data["reconnect"]) == ("withheld", False)
    last = stream.received[-2]
    assert set(last.data["features"].values()) == {None}
    assert {view["status"] for view in last.data["views"].values()} == {"withheld"}
    eventually(lambda: stream.ended, "the server closes the connection")


@pytest.mark.parametrize("known", [True, False])
def test_stream_without_consent_is_withheld_and_closed(shop: StreamEnvironment, known: bool) -> None:
    customer = shop.customer() if known else "unknown"
    if known:
        shop.environment.permit(customer, service=False)
    stream = shop.listen(customer)
    stream.until_event("closed")
    assert [event.event for event in stream.received] == ["features", "closed"]
    reason = "refused" if known else "no_consent"
    assert {view["reason"] for view in stream.received[0].data["views"].values()} == {reason}
    assert set(stream.received[0].data["features"].values()) == {None}


def test_stream_answers_marked_defaults_on_request(shop: StreamEnvironment) -> None:
    stream = shop.listen("unknown", withheld="defaults")
    stream.until_event("closed")
    answer = stream.received[0].data
    assert {view["defaults"] for view in answer["views"].values()} == {True}
    assert answer["features"][SPENT] == 0


def test_revoked_key_closes_its_streams(shop: StreamEnvironment) -> None:
    key, customer = shop.made.make_key("short-lived"), shop.customer()
    eventually(lambda: shop.listen(customer, key=key).status == 200, "the key is known", within_s=10, every_s=0.2)
    stream = shop.listen(customer, key=key)
    stream.newest()
    shop.made.manage("shell", "-c", REVOKE.format(key_id=key.split("_")[1]))
    closing = stream.until_event(
        "closed", within_s=10
    )  # 2 s until every process has noticed it, and a second until the next check
    assert (closing.data["reason"], closing.data["reconnect"]) == ("refused", False)
    assert shop.listen(shop.customer(), key=key).status == 401


@pytest.mark.parametrize(
    ("changes", "status", "name"),
    [
        ({"purpose": "no-such"}, 403, "forbidden"),
        ({"service": "no_such"}, 404, "unknown-service"),
        ({"features": ["no_such"]}, 422, "unprocessable"),
        ({"customer_id": 1}, 400, "malformed"),
        ({"key": "rap_000000000000_0"}, 401, "unauthorised"),
    ],
    ids=str,
)
def test_refused_stream_is_a_problem_document(
    shop: StreamEnvironment, changes: dict[str, object], status: int, name: str
) -> None:
    key = str(changes.pop("key", shop.key))
    refused = Listener(shop.url, key, QUERY | {"customer_id": "C"} | changes)
    assert refused.status == status == refused.problem["status"]
    assert refused.problem["type"] == f"urn:rapport:problem:{name}"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.problem["instance"].endswith(refused.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "host", "status"),
    [
        ("GET", "/v1/features/stream", "127.0.0.1", 405),
        ("POST", "/healthz", "127.0.0.1", 405),
        ("POST", "/v1/features", "127.0.0.1", 404),
        ("POST", "/v1/features/stream", "elsewhere.example", 400),
    ],
)
def test_other_addresses_and_methods_are_problems(
    shop: StreamEnvironment, method: str, path: str, host: str, status: int
) -> None:
    answer = httpx.request(method, shop.url + path, headers={"Host": host, "Authorization": f"Bearer {shop.key}"})
    assert (answer.status_code, answer.json()["status"]) == (status, status)


def test_too_large_body_is_refused(shop: StreamEnvironment) -> None:
    headers = {"Authorization": f"Bearer {shop.key}"}
    answer = httpx.post(f"{shop.url}/v1/features/stream", content=b" " * 200_000, headers=headers)
    assert answer.status_code == 413


def test_stream_survives_a_restart_of_the_store(serve: Serve) -> None:
    shop = serve(sse_heartbeat_s=60)
    customer = shop.customer()
    stream = shop.listen(customer)
    stream.newest()
    shop.server.kill()
    gone = stream.until_event("unavailable")
    assert gone.data["type"] == "urn:rapport:problem:unavailable"
    refused = shop.listen(customer)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    shop.server.start()  # empty
    eventually(lambda: stream.received[-1].event == "features", "an answer comes again")
    assert {view["reason"] for view in stream.received[-1].data["views"].values()} == {"store_unvouched"}
    shop.environment.restore_store()
    shop.environment.permit(customer, service=True)
    shop.buy(customer)
    stream.until_value(SPENT, 20)
    shop.buy(customer)
    stream.until_value(SPENT, 30)  # by a change notification
    stream.disconnect()


def test_sigterm_closes_streams_with_a_reason(serve: Serve) -> None:
    shop = serve()
    stream = shop.listen(shop.customer())
    stream.newest()
    process = shop.made.processes["sse"]
    began_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    closing = stream.until_event("closed")
    assert (closing.data["reason"], closing.data["reconnect"]) == ("stopping", True)
    assert process.wait(20) == 0
    assert time.monotonic() - began_s < 20, "it waited for no client"


def test_lifetime_and_streams_per_client_are_limited(serve: Serve) -> None:
    shop = serve(sse_life_s=3, sse_client_streams=1)
    customer = shop.customer()
    stream = shop.listen(customer)
    stream.newest()
    refused = shop.listen(customer)
    assert (refused.status, refused.problem["type"]) == (429, "urn:rapport:problem:too-many-streams")
    assert refused.headers["retry-after"] == "1"
    closing = stream.until_event("closed")
    assert (closing.data["reason"], closing.data["reconnect"]) == ("lifetime", True)
    eventually(lambda: stream.ended, "it ends")
    again = shop.listen(customer)
    assert again.newest().data["features"][SPENT] == 10
    again.disconnect()


def test_each_event_is_recorded_as_an_access(shop: StreamEnvironment) -> None:
    customer = shop.customer()
    subject = shop.environment.subject(customer)
    control = RecordStream(shop.server.url.replace("/0", "/1"), timeout_s=5)

    def recorded() -> list[str]:
        reads = [read for entry in control.oldest(10_000) for read in decode(entry.raw).reads]
        return [read.request_id for read in reads if read.subject == subject]

    stream = shop.listen(customer, features=[SPENT])
    stream.newest()
    shop.buy(customer)
    stream.until_value(SPENT, 20)
    eventually(lambda: len(recorded()) >= 2, "both reads are recorded", within_s=10)
    assert set(recorded()) == {stream.headers["x-request-id"]}
    stream.disconnect()


def test_health_pages_and_metrics_are_served(shop: StreamEnvironment) -> None:
    stream = shop.listen(shop.customer())
    stream.newest()
    assert httpx.get(f"{shop.url}/healthz").json() == {"alive": True}
    ready = httpx.get(f"{shop.url}/readyz").json()
    assert ready["checks"] == dict.fromkeys(("process", "database", "store", "changes"), "ok")
    assert httpx.head(f"{shop.url}/readyz").content == b""
    assert metric(shop, "rapport_sse_streams") >= 1
    assert metric(shop, 'rapport_api_requests_total{route="features/stream",status="200"}') >= 1
    stream.disconnect()


def test_logs_name_no_customer(shop: StreamEnvironment) -> None:
    customer = "C-who-is-not-in-any-log"
    shop.environment.permit(customer, service=False)
    shop.listen(customer).until_event("closed")
    lines = shop.made.logs("sse")
    assert any(line["event"] == "stream ended" and line["reason"] == "withheld" for line in lines)
    assert customer not in json.dumps(lines)
    assert shop.environment.subject(customer) not in json.dumps(lines)


def metric(shop: StreamEnvironment, name: str) -> float:
    """A metric of the process; 0 where there is none."""
    lines = httpx.get(f"{shop.url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
