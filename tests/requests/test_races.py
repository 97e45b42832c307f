"""Races of requests on PostgreSQL, each transaction on a connection of its own; a lost one is harmless."""

from collections import Counter

import pytest
from django.db import DatabaseError, connection

from featurestore.consent.services import request_key
from featurestore.requests import services
from featurestore.requests.errors import NotPossible, WrongCode
from featurestore.requests.models import RequestEvent, SubjectRequest, VerificationCode
from featurestore.requests.services import Intake, codes
from featurestore.requests.services.codes import MAX_ATTEMPTS
from tests.kit.databases import database
from tests.kit.requests import NOON, OLIVIA, SHOP, seed_regimes
from tests.kit.threads import at_once

__all__ = ["database"]


def receive(customer_id: str, *, attested: bool = False, key=None) -> SubjectRequest:
    intake = Intake("access", "gdpr", "api", customer_id, attested=attested, key=key)
    return services.receive(intake, SHOP, NOON).request


def states(customer_id: str) -> Counter[str]:
    return Counter(SubjectRequest.objects.filter(customer_id=customer_id).values_list("state", flat=True))


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_of_requests_at_once_each_thing_happens_once(database: str) -> None:
    seed_regimes()
    key = request_key("shop", "k", b"body", b"secret")
    at_once(*[lambda: receive("repeated", key=key)] * 4)
    assert states("repeated") == {"received": 1}

    at_once(*[lambda: receive("attested", attested=True)] * 6)
    assert states("attested") == {"open": 1, "duplicate": 5}

    waiting = [receive("verified").reference for _ in range(6)]
    refused = []

    def verify(reference: str) -> None:
        try:
            services.verify_by_hand(reference, OLIVIA, "by phone", now=NOON)
        except NotPossible:
            refused.append(reference)  # it was linked meanwhile

    at_once(*[lambda one=one: verify(one) for one in waiting], lambda: receive("verified", attested=True))
    assert states("verified") == {"open": 1, "duplicate": 6}

    guessed = receive("guessed").reference
    contact = services.record_contact("guessed", "email", "g@example.org", SHOP, NOON)
    code = codes.issue(guessed, contact, NOON)[1]
    wrong = f"{(int(code) + 1) % 10**8:08}"
    answers = []

    def guess() -> None:
        try:
            services.confirm_code(guessed, wrong, NOON)
        except WrongCode:
            answers.append("wrong")

    at_once(*[guess] * 12)
    assert len(answers) == 12
    assert VerificationCode.objects.get(current=True).attempts == MAX_ATTEMPTS
    with pytest.raises(WrongCode):
        services.confirm_code(guessed, code, NOON)

    with connection.cursor() as cursor:
        for statement in ("UPDATE requests_requestevent SET reason = 'x'", "DELETE FROM requests_requestevent"):
            with pytest.raises(DatabaseError, match="append-only"):
                cursor.execute(statement)
    SubjectRequest.objects.filter(customer_id="repeated").update(erased_at=NOON)
    assert RequestEvent.objects.filter(request__customer_id="repeated").delete()[0] == 1
