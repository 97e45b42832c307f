"""/v1/requests: the same answer for everybody, attested by whom may, verified by a code, looked up."""

from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from featurestore.access.services import create_client, create_key
from featurestore.clock import moment
from featurestore.config import settings
from featurestore.consent.services import define_purpose
from featurestore.profiles.services import register
from featurestore.requests import services
from featurestore.requests.models import Contact, SubjectRequest
from featurestore.requests.services import codes, intake, verification
from tests.kit.api import Post
from tests.kit.requests import SHOP, seed_regimes
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

PATH = "/v1/requests"
ACCESS = {"type": "access", "regime": "gdpr", "customer_id": "C7"}
CONTACT = {"kind": "email", "address": "ann@example.org"}
VARYING = {"id", "instance"}


@pytest.fixture(autouse=True)
def customer(environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (intake, verification, codes):
        monkeypatch.setattr(module, "database_now", lambda: moment(NOW_MS))
    seed_regimes()
    define_purpose("service", title="Service", lawful_basis="consent")
    register("C7", "EU", "lamp")
    services.record_contact("C7", "email", "c7@example.org", SHOP)


def key_with(*scopes: str) -> str:
    client = create_client(f"client-{len(scopes)}", owner="", actor="test")
    return "Bearer " + create_key(client, services=[], purposes=["service"], scopes=scopes, actor="test")[1]


def get(client: Client, reference: str, authorization: str) -> HttpResponse:
    return client.get(f"{PATH}/{reference}", headers={"Authorization": authorization})


def answer(response: HttpResponse) -> dict[str, Any]:
    return {name: value for name, value in response.json().items() if name not in VARYING}


def test_answer_and_steps_tell_nothing_of_the_customer(post: Post) -> None:
    """Of one with a contact, one without, a stranger, and one who has asked before."""
    register("C8", "EU", "lamp")
    found = []
    for customer_id in ("C7", "C8", "stranger", "C7"):
        with CaptureQueriesContext(connection) as queries:
            response = post(PATH, ACCESS | {"customer_id": customer_id})
        steps = [one["sql"][:40] for one in queries if "SAVEPOINT" not in one["sql"] and "access_" not in one["sql"]]
        found.append((response.status_code, answer(response), steps))
    assert found == [found[0]] * 4
    assert found[0][0] == 201


def test_repeat_is_answered_alike_though_the_request_was_extended_meanwhile(post: Post) -> None:
    key = {"Idempotency-Key": '"k"'}
    body = ACCESS | {"attested": True}
    first = post(PATH, body, **key)
    services.extend(first.json()["id"], SHOP, "many sources", moment(NOW_MS))
    again = post(PATH, dict(reversed(body.items())), **key)
    assert (again.status_code, again.content) == (201, first.content)
    assert SubjectRequest.objects.count() == 1
    refused = post(PATH, body | {"type": "erasure"}, **key)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:rapport:problem:idempotency-key-reused")


@pytest.mark.parametrize("right", ["attested", "contact"])
def test_only_a_client_with_the_right_attests_or_puts_a_contact_on_record(post: Post, right: str) -> None:
    body = ACCESS | ({"attested": True} if right == "attested" else {"contact": CONTACT})
    refused = post(PATH, body, authorization=key_with("requests:write"))
    assert refused.status_code == 403
    assert 'scope="requests:attest"' in refused.headers["WWW-Authenticate"]
    assert (SubjectRequest.objects.count(), Contact.objects.count()) == (0, 1)
    assert post(PATH, body, authorization=key_with("requests:write", "requests:attest")).status_code == 201
    state = SubjectRequest.objects.get().state
    assert state == ("open" if right == "attested" else "received")


def test_every_route_needs_its_scope(client: Client, post: Post) -> None:
    other = key_with("consent:write", "events:write")
    assert post(PATH, ACCESS, authorization=other).status_code == 403
    assert post(f"{PATH}/R-AAAA-AAAA/verification", {"code": "1"}, authorization=other).status_code == 403
    assert get(client, "R-AAAA-AAAA", other).status_code == 403
    assert get(client, "R-AAAA-AAAA", "").status_code == 401


def test_code_verifies_and_a_wrong_one_tells_nothing(client: Client, post: Post) -> None:
    reference = post(PATH, ACCESS).json()["id"]
    reader = key_with("requests:read")
    assert get(client, reference, reader).json()["state"] == "received"
    code = codes.issue(reference, Contact.objects.get(), moment(NOW_MS))[1]
    wrong = f"{(int(code) + 1) % 10**8:08}"
    answers = [post(f"{PATH}/{ref}/verification", {"code": wrong}) for ref in (reference, "R-AAAA-AAAA", "x" * 500)]
    assert [(one.status_code, answer(one)) for one in answers] == [(422, answer(answers[0]))] * 3
    right = post(f"{PATH}/{reference}/verification", {"code": f"{code[:4]} {code[4:]}"})
    assert (right.status_code, right.json()) == (200, {"id": reference, "verified": True})
    assert get(client, reference, reader).json() | {"state": "open"} == get(client, reference, reader).json()


def test_looked_up_duplicate_names_the_request_that_proceeds(client: Client, post: Post) -> None:
    first, second = (post(PATH, ACCESS | {"attested": True}).json()["id"] for _ in range(2))
    found = get(client, second, key_with("requests:read")).json()
    assert (found["state"], found["duplicate_of"], found["customer_id"]) == ("duplicate", first, "C7")


@pytest.mark.parametrize(
    ("change", "status"),
    [({"type": "nonsense"}, 400), ({"regime": "a b"}, 400), ({"regime": "pipl"}, 422), ({"customer_id": ""}, 400),
     ({"customer_id": "a\0"}, 400), ({"purposes": ["unknown"]}, 422), ({"purposes": ["service"] * 51}, 400),
     ({"details": "\0"}, 400), ({"details": "x" * 4001}, 400), ({"language": "fr"}, 400), ({"more": 1}, 400),
     ({"contact": {"kind": "fax", "address": "1"}}, 400), ({"contact": {"kind": "email", "address": "ann"}}, 422)],
)  # fmt: skip
def test_malformed_request_is_refused(post: Post, change: dict[str, Any], status: int) -> None:
    response = post(PATH, ACCESS | change)
    assert response.status_code == status
    assert response.json()["type"].startswith("urn:rapport:problem:")
    assert not SubjectRequest.objects.exists()


def test_contact_of_a_request_that_is_refused_is_not_put_on_record(post: Post) -> None:
    assert post(PATH, ACCESS | {"regime": "pipl", "contact": CONTACT}).status_code == 422
    assert post(PATH, ACCESS | {"contact": CONTACT}).status_code == 201
    assert Contact.objects.count() == 2


@pytest.mark.parametrize("reference", ["R-AAAA-AAAA", "%00", "x" * 300, "..", "%E2%82%AC"])
def test_unknown_reference_is_not_found(client: Client, post: Post, reference: str) -> None:
    assert get(client, reference, key_with("requests:read")).status_code == 404


def test_words_that_can_not_be_encrypted_are_not_taken(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without_keys:
        without_keys.setenv("RAPPORT_KEY_STORE_URL", "sqlite:////proc/none/keys.sqlite3")
        settings.cache_clear()
        refused = post(PATH, ACCESS | {"attested": True, "details": "Where is my order?"})
    settings.cache_clear()
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:rapport:problem:unavailable")
    assert not SubjectRequest.objects.exists(), "nothing is half stored"
    taken = post(PATH, ACCESS | {"attested": True, "details": "Where is my order?"})
    assert taken.status_code == 201
    assert SubjectRequest.objects.get().details == "Where is my order?"
