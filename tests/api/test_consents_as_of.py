"""POST /v1/consents/as-of: the answer as a signed document."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from featurestore.auditlog.document_proofs import verify_logged
from featurestore.auditlog.models import WaitingEntry
from featurestore.auditlog.services import sequence_due, sign_due
from featurestore.consent.services import define_purpose
from featurestore.profiles.services import register
from tests.kit.api import Post

pytestmark = pytest.mark.usefixtures("environment")
PATH = "/v1/consents/as-of"


@pytest.fixture
def asked() -> dict[str, object]:
    """A question about C42, a second ago."""
    for name in ("service", "analytics", "hidden"):
        define_purpose(name, title=name, lawful_basis="legitimate_interest")
    register("C42", "EU", "lamp")
    return {"customer_id": "C42", "at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(), "signed": True}


def test_answer_is_signed_a_minute_later_and_verifies(post: Post, asked: dict[str, object]) -> None:
    first = post(PATH, asked)
    assert (first.status_code, first.json()["signed_document"]) == (200, None)
    sequence_due()
    sign_due()
    signed = post(PATH, asked)
    verified = verify_logged(json.dumps(signed.json()["signed_document"])).verified
    told = {one["purpose"] for one in signed.json()["purposes"]}
    assert {one["purpose"] for one in verified.document["purposes"]} == told
    assert "hidden" not in told, "the key does not hold it"
    assert verified.document["asked_about"] == ["fraud", "personalisation", "service"]


def test_nothing_is_issued_unless_it_is_asked_for_or_about_nobody(post: Post, asked: dict[str, object]) -> None:
    waiting = WaitingEntry.objects.count()
    assert post(PATH, asked | {"signed": False}).json()["signed_document"] is None
    assert post(PATH, asked | {"customer_id": "nobody"}).status_code == 404
    assert post(PATH, asked | {"at": "2999-01-01T00:00:00Z"}).status_code == 422
    assert post(PATH, asked | {"purposes": ["hidden"]}).status_code == 403
    assert post(PATH, asked | {"signed": "yes"}).status_code == 400
    assert WaitingEntry.objects.count() == waiting
