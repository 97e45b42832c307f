"""Consent receipts: in the forms of two standards, by schemas and by a reader that knows only the standards' names."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from django.core.management import CommandError, call_command

from featurestore.auditlog import export
from featurestore.auditlog.document_verifier import verify_document
from featurestore.auditlog.log_verifier import Note, parse_key_text
from featurestore.auditlog.services import sequence, sign_due
from featurestore.config import settings
from featurestore.consent.errors import NoReceipt
from featurestore.consent.models import ConsentRecord
from featurestore.consent.receipts import ReceiptForm, receipt_of
from featurestore.consent.services.erasure import erase_permissions
from featurestore.customers.models import Customer
from tests.kit.clock import at
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"
CONTROLLER = {
    "name": "Acme GmbH",
    "address": "1 High Street, Berlin",
    "country": "DE",
    "email": "privacy@acme.example",
    "policy_url": "https://acme.example/privacy",
    "withdrawal": "https://acme.example/consent, or in the chat",
    "storage": "Germany",
    "retention": "until the consent ends",
    "authority": "Berlin Commissioner for Data Protection",
}


@pytest.fixture(autouse=True)
def controller(monkeypatch: pytest.MonkeyPatch) -> None:
    set_controller(monkeypatch, CONTROLLER)


def set_controller(monkeypatch: pytest.MonkeyPatch, members: dict[str, Any]) -> None:
    replaced = settings().model_validate(settings().model_dump() | {"controller": members or None})
    monkeypatch.setattr("featurestore.consent.receipts.settings", lambda: replaced)


def newest() -> int:
    return ConsentRecord.objects.order_by("-sequence").values_list("sequence", flat=True)[0]


def receipt(form: ReceiptForm, record: int | None = None) -> dict[str, Any]:
    return receipt_of(newest() if record is None else record, form)[0]


def valid(form: ReceiptForm, document: dict[str, Any]) -> bool:
    name = "27560" if form == ReceiptForm.ISO_27560 else "kantara"
    schema = json.loads((SCHEMAS / f"consent-receipt-{name}.schema.json").read_text(encoding="utf-8"))
    return bool(jsonschema_rs.validator_for(schema).is_valid(document))


@pytest.mark.parametrize("form", ReceiptForm)
def test_receipt_is_of_its_schema_and_always_the_same(shop: Shop, form: ReceiptForm) -> None:
    shop.register()
    shop.give("personalisation", 5)
    found = receipt(form)
    assert valid(form, found)
    assert found == receipt(form)
    for member in found.keys() - {"language"}:  # Kantara's table does not require it
        assert not valid(form, {name: value for name, value in found.items() if name != member})


def test_reader_of_iso_27560_finds_who_agreed_to_what_when_and_how_it_ends(shop: Shop) -> None:
    subject = shop.register().customer.subject
    shop.give("personalisation", 5)
    given = newest()
    shop.withdraw("personalisation", 9)
    for record, state in ((given, "given"), (newest(), "withdrawn")):
        told = receipt(ReceiptForm.ISO_27560, record)["record"]
        (event,), (purpose,) = told["events"], told["pii_processing"]["purposes"]
        parties = {party["party_id"]: party for party in told["party_identification"]}
        assert told["header"]["pii_principal_id"] == event["entity_id"] == subject
        assert (told["header"]["record_id"], event["event_state"]) == (str(record), state)
        assert parties[purpose["pii_controllers"][0]]["party_name"] == "Acme GmbH"
        assert parties[purpose["authority_party"]]["party_name"].startswith("Berlin")
        assert (purpose["purpose_id"], purpose["withdrawal_method"]) == ("personalisation", CONTROLLER["withdrawal"])
        assert told["pii_processing"]["privacy_notice"]["reference"] == "privacy/1/en"
        assert [one["pii_type"] for one in purpose["pii_information"]]


def test_reader_of_kantara_finds_what_its_table_requires(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    set_controller(
        monkeypatch, CONTROLLER | {"recipients": ["Parcel Ltd"], "special_categories": {"personalisation": ["health"]}}
    )
    subject = shop.register().customer.subject
    shop.give("personalisation", 5)
    found = receipt(ReceiptForm.KANTARA)
    assert valid(ReceiptForm.KANTARA, found)
    assert (found["version"], found["jurisdiction"], found["piiPrincipalId"]) == ("KI-CR-v1.1.0", "DE", subject)
    assert found["consentTimestamp"] == int(at(5).timestamp())
    assert (found["sensitive"], found["spiCat"]) == (True, ["health"])
    (purpose,) = found["services"][0]["purposes"]
    assert (purpose["thirdPartyDisclosure"], purpose["thirdPartyName"]) == (True, "Parcel Ltd")
    assert not valid(ReceiptForm.KANTARA, found | {"spiCat": []})


def test_receipt_is_refused_where_it_would_say_what_is_not_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.register()
    with pytest.raises(NoReceipt, match="no consent record 999"):
        receipt(ReceiptForm.ISO_27560, 999)
    shop.withdraw("personalisation", 2)
    with pytest.raises(NoReceipt, match="no consent was given"):
        receipt(ReceiptForm.ISO_27560)
    with pytest.raises(NoReceipt, match="none of a consent given"):
        receipt(ReceiptForm.KANTARA)
    shop.give("personalisation", 5)
    record = newest()
    set_controller(monkeypatch, {})
    with pytest.raises(NoReceipt, match="set RAPPORT_CONTROLLER"):
        receipt(ReceiptForm.ISO_27560, record)
    set_controller(monkeypatch, CONTROLLER)
    erase_permissions([Customer.objects.get().pk], now=at(50))
    Customer.objects.update(erased_at=at(50))
    with pytest.raises(NoReceipt, match="was erased"):
        receipt(ReceiptForm.ISO_27560, record)


def test_command_issues_a_receipt_and_shows_it_once_it_is_signed(shop: Shop) -> None:
    shop.register()
    shop.give("personalisation", 5)
    for _ in range(2):
        with pytest.raises(CommandError, match="no tree head covers it yet"):
            call_command("consent_receipt", str(newest()))
    sequence()
    assert sign_due(at(3600)) is not None
    out = StringIO()
    call_command("consent_receipt", str(newest()), stdout=out)
    key = str(parse_key_text(Note.parse(export.key_notes()[0]).text))
    assert valid(ReceiptForm.ISO_27560, verify_document(out.getvalue(), [key]).document)
    with pytest.raises(CommandError, match="no consent record 999"):
        call_command("consent_receipt", "999")
