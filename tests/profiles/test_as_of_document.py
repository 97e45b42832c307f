"""Document of what a customer allowed and who read what, as of a time: shown, signed, verified."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from featurestore.access.models import ApiClient, ApiKey
from featurestore.access.services import allow, create_client, create_key, create_secret
from featurestore.accesslog.batches import Batch, BatchContext, Read
from featurestore.accesslog.consumer import ReceivedBatch, write
from featurestore.auditlog import export
from featurestore.auditlog.document_verifier import DocumentRefused, verify_document
from featurestore.auditlog.log_verifier import Note, parse_key_text
from featurestore.auditlog.models import EntryContent, WaitingEntry
from featurestore.auditlog.services import sequence_due, sign_due
from featurestore.consent.services.erasure import erase_permissions
from featurestore.customers.models import Customer
from tests.kit.clock import at, ms
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
GIVEN, READ, WITHDRAWN, AFTER = 10, 20, 30, 40


@pytest.fixture
def customer(shop: Shop) -> Customer:
    """Ann, who gave a consent, was read by two clients, and withdrew it."""
    ann = shop.register().customer
    shop.give(when=GIVEN)
    for number, client in enumerate(("support-bot", "sales-bot"), 1):
        create_client(client, owner="tests", actor="tests")
        context = BatchContext(client, "0123456789ab", "support_chat", "service", ["spend"], {"returns": "stale"})
        read = Read(0, ann.subject, ms(at(READ)), f"turn-{number}")
        batch = Batch(f"{number:016x}", ms(at(0)), 1, ms(at(AFTER)), 0, [context], [read], [])
        write([ReceivedBatch(ms(at(AFTER)), batch)])
    shop.withdraw(when=WITHDRAWN)
    return ann


def run(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("as_of", *words, stdout=out)
    told: dict[str, Any] = json.loads(out.getvalue())
    return told


def time(seconds: float) -> str:
    return at(seconds).isoformat()


def service(document: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in document["purposes"] if one["purpose"] == "service")


def test_document_says_what_was_allowed_and_read_by_then(customer: Customer) -> None:
    before, allowed, after = (run("ann", time(when)) for when in (GIVEN - 1, READ, AFTER))
    assert (service(before)["allowed"], service(before)["reason"], before["reads"]) == (False, "never_allowed", [])
    assert (service(allowed)["allowed"], service(allowed)["notice"]) == (True, "privacy/1/en")
    assert len(service(allowed)["notice_sha256"]) == 64
    assert (service(after)["allowed"], service(after)["reason"]) == (False, "withdrawn")
    assert {read["client"] for read in after["reads"]} == {"support-bot", "sales-bot"}
    assert after["reads"][0]["given"] == ["spend"]
    assert after["reads"][0]["withheld"] == {"returns": "stale"}
    assert (after["subject"], after["asked_about"]) == (customer.subject, "all purposes")
    assert "ann" not in json.dumps(after)
    assert run(customer.subject, time(AFTER)) == after, "the subject names the same customer"


def test_client_is_told_with_the_keys_that_it_had_then_and_its_reads_alone(customer: Customer) -> None:
    bot = ApiClient.objects.get(name="support-bot")
    may = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["features:read"], "actor": "tests"}
    key, _ = create_key(bot, **may)
    late, _ = create_key(bot, **may)
    writing, _ = create_key(bot, **may | {"scopes": ["events:write"]})
    for one, created in ((key, 5), (late, AFTER + 5), (writing, 5)):
        ApiKey.objects.filter(pk=one.pk).update(created_at=at(created))
    found = run("ann", time(AFTER), "--client", "support-bot")
    assert [read["client"] for read in found["reads"]] == ["support-bot"]
    keys = [{"key": key.key_id, "services": ["support_chat"], "purposes": ["service"]}]
    assert found["client"] == {"name": "support-bot", "keys": keys, "tokens_today": None}
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=at(AFTER - 1))
    allow(bot, **may)
    secret, _ = create_secret(bot, actor="tests")
    type(secret).objects.filter(pk=secret.pk).update(created_at=at(5))
    found = run("ann", time(AFTER), "--client", "support-bot")["client"]
    assert found["keys"] == []
    assert found["tokens_today"] == {"services": ["support_chat"], "purposes": ["service"]}


def test_signed_document_verifies_and_a_changed_one_does_not(customer: Customer) -> None:
    words = ("ann", time(AFTER), "--client", "support-bot")
    waiting = WaitingEntry.objects.count()
    shown = run(*words)
    assert WaitingEntry.objects.count() == waiting, "what is only shown is not issued"
    with pytest.raises(CommandError, match="run this again in a minute"):
        run(*words, "--sign")
    sequence_due()
    sign_due()
    signed = run(*words, "--sign")
    key = str(parse_key_text(Note.parse(export.key_notes()[0]).text))
    verified = verify_document(json.dumps(signed), [key])
    assert (verified.kind, verified.document) == ("as_of", shown)
    assert EntryContent.objects.get(pk=verified.entry).subject == customer.subject
    service(signed["document"])["allowed"] = True
    with pytest.raises(DocumentRefused, match="its text was changed"):
        verify_document(json.dumps(signed), [key])


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (("nobody", time(AFTER)), "No customer with this id"),
        (("f" * 32, time(AFTER)), "No customer with this id"),
        (("ann", "2999-01-01T00:00:00Z"), "in the future"),
        (("ann", "2020-01-01T00:00:00"), "no time zone"),
        (("ann", "yesterday"), "is no time"),
        (("ann", time(AFTER), "--client", "nobody"), "No API client has the name"),
    ],
)
def test_wrong_customer_time_or_client_is_refused(customer: Customer, words: tuple[str, ...], refusal: str) -> None:
    for more in ((), ("--sign",)):
        with pytest.raises(CommandError, match=refusal):
            run(*words, *more)


def test_no_document_is_issued_about_an_erased_customer(customer: Customer) -> None:
    erase_permissions([customer.pk])
    with pytest.raises(CommandError, match="No customer with this id"):
        run("ann", time(AFTER), "--sign")
    with pytest.raises(CommandError, match="No customer with this id"):
        run(customer.subject, time(AFTER), "--sign")
