"""Search of the administration: it finds exactly what is stored, and says why an id can't be like the term."""

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from featurestore.consent.services import withdraw
from featurestore.customers.models import Customer
from featurestore.customers.selectors import stored_subject
from featurestore.identity import IdentifierError
from tests.admin.environment import AdminEnvironment
from tests.kit.identifiers import LOOKALIKES

LISTS = ["customers_customer", "consent_consentrecord", "consent_permissionchange", "audit_finding",
         "ingest_deadletter", "accesslog_accessrecord"]  # fmt: skip


@pytest.fixture
def olivia(env: AdminEnvironment) -> Client:
    env.give("C1")
    env.finding(customer_id="C1")
    env.dead_letter("C1")
    env.access_record("C1")
    return env.log_in("olivia")


def search(browser: Client, page: str, term: str) -> tuple[int, HttpResponse]:
    response = browser.get(reverse(f"admin:{page}_changelist"), {"q": term})
    return response.context["cl"].result_count, response


@pytest.mark.parametrize("page", LISTS)
def test_term_finds_no_other_id(olivia: Client, page: str) -> None:
    assert search(olivia, page, "C1")[0] >= 1
    for term, words in LOOKALIKES.items():
        count, response = search(olivia, page, term)
        assert count == 0, ascii(term)
        assert "Nothing is stored under exactly what was entered: an id must" in response.content.decode()
        assert words.split(":")[0] in response.content.decode()
    count, response = search(olivia, page, "C9")
    assert (count, list(response.context["messages"])) == (0, [])


def test_beginning_of_an_id_is_compared_with_its_case(env: AdminEnvironment, olivia: Client) -> None:
    assert [search(olivia, "customers_customer", term)[0] for term in ("C", "c", "C4", "C42", "C421")] == [
        3,
        0,
        2,
        2,
        1,
    ]


def test_id_that_an_earlier_version_took_is_found_and_withdrawn(env: AdminEnvironment, olivia: Client) -> None:
    old = "C7\u00a0"
    Customer.objects.filter(customer_id="C42").update(customer_id=old, subject=stored_subject(old))
    count, response = search(olivia, "customers_customer", old)
    assert (count, list(response.context["messages"])) == (1, [])
    assert search(olivia, "customers_customer", "C7")[0] == 1, "it begins so"
    withdraw(old, "service", method="email", actor="olivia", reason="wrote")
    assert search(olivia, "consent_consentrecord", old)[0] == 2
    with pytest.raises(IdentifierError, match="must not end"):
        withdraw("C8\u00a0", "service", method="email", actor="olivia", reason="wrote")
