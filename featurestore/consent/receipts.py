"""Consent receipts: what a customer decided, in the forms of ISO/IEC TS 27560:2023 and of Kantara 1.1.0.

A receipt of a record is always the same text while settings, notice and catalog are: it is issued once. It names the
customer by subject. Times are texts in UTC in the first form, and seconds since 1970 in the second.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from featurestore.config import Controller, settings
from featurestore.consent.errors import NoReceipt
from featurestore.consent.models import ConsentRecord, Notice
from featurestore.consent.permission_derivation import Basis, Decision
from featurestore.installed_catalog import catalog

RIGHTS = ["access", "rectification", "erasure", "restriction", "portability", "withdrawal of consent", "complaint"]
STATES = {Decision.GIVEN: "given", Decision.WITHDRAWN: "withdrawn", Decision.EXPIRED: "expired"}


class ReceiptForm(StrEnum):
    """Forms of receipts, by the standards' names."""

    ISO_27560 = "iso-27560"
    KANTARA = "kantara"


def receipt_of(sequence: int, form: ReceiptForm) -> tuple[dict[str, Any], str]:
    """The receipt of the consent record with a sequence, and the customer's subject. Raises NoReceipt."""
    records = ConsentRecord.objects.select_related("customer", "purpose", "notice")
    record, controller = records.filter(sequence=sequence).first(), settings().controller
    if controller is None:
        raise NoReceipt("A receipt names who is responsible for the data: set RAPPORT_CONTROLLER (docs/documents.md).")
    if record is None:
        raise NoReceipt(f"There is no consent record {sequence}.")
    if record.customer.erased_at:
        raise NoReceipt(f"The customer of consent record {sequence} was erased: nothing is issued about them any more.")
    if record.purpose.lawful_basis != Basis.CONSENT:
        raise NoReceipt(f"Purpose {record.purpose.name} rests on {record.purpose.lawful_basis}, and not on consent.")
    if record.superseded:
        raise NoReceipt(f"Consent record {sequence} never counted: a newer decision had been recorded before.")
    return FORMS[form](record, controller), record.customer.subject


def iso_receipt(record: ConsentRecord, controller: Controller) -> dict[str, Any]:
    """The receipt as ISO/IEC TS 27560 names its members: header, processing, parties, events. Raises NoReceipt."""
    if record.decision not in STATES:
        raise NoReceipt(f"Consent record {record.sequence} is a pause or its end: it says nothing of a consent.")
    consent, notice = _consent_and_notice(record)
    purpose = {
        "purpose": record.purpose.title,
        "purpose_id": record.purpose.name,
        "purpose_description": record.purpose.description,
        "lawful_basis": "consent",
        "pii_information": [{"pii_type": name, "source": source} for name, source in _views(record)],
        "special_categories": controller.special_categories.get(record.purpose.name, []),
        "pii_controllers": ["controller"],
        "collection_method": consent.method,
        "processing_method": "windowed counts, sums and similar values, by computer",
        "storage_locations": [controller.storage],
        "retention_period": controller.retention,
        "processing_locations": [controller.storage],
        "geographic_restrictions": [],
        "recipient_third_parties": controller.recipients,
        "withdrawal_method": controller.withdrawal,
        "privacy_rights": RIGHTS,
        "jurisdiction": controller.country,
        "authority_party": "authority",
    }
    event = {
        "event_time": _text(record.decided_at),
        "event_type": "expressed",
        "event_state": STATES[Decision(record.decision)],
        "entity_id": record.customer.subject,
        "validity_duration": f"PT{int((record.until - record.since).total_seconds())}S" if record.until else None,
        "validity_until": _text(record.until) if record.until else None,
        "recorded_at": _text(record.at),
        "collection_method": record.method,
    }
    return {
        "schema_version": "ISO/IEC TS 27560:2023",
        "receipt_id": _id(record, ReceiptForm.ISO_27560),
        "record": {
            "header": {
                "schema_version": "ISO/IEC TS 27560:2023",
                "record_id": str(record.sequence),
                "pii_principal_id": record.customer.subject,
            },
            "pii_processing": {
                "privacy_notice": {
                    "reference": notice.reference,
                    "sha256": notice.sha256,
                    "published_at": _text(notice.published_at),
                    "url": controller.policy_url,
                },
                "language": notice.language,
                "purposes": [purpose],
            },
            "party_identification": [
                {
                    "party_id": "controller",
                    "party_role": "PII controller",
                    "party_name": controller.name,
                    "party_address": controller.address,
                    "party_country": controller.country,
                    "party_contact": " ".join(filter(None, [controller.email, controller.phone])),
                },
                {"party_id": "authority", "party_role": "authority", "party_name": controller.authority},
            ],
            "events": [event],
        },
    }


def kantara_receipt(record: ConsentRecord, controller: Controller) -> dict[str, Any]:
    """The receipt as Kantara's Consent Receipt 1.1.0 names its members. Raises NoReceipt if it was no consent."""
    if record.decision != Decision.GIVEN:
        raise NoReceipt(f"Consent record {record.sequence} is none of a consent given: take the form iso-27560.")
    _, notice = _consent_and_notice(record)
    special = controller.special_categories.get(record.purpose.name, [])
    party = {
        "piiController": controller.name,
        "contact": controller.name,
        "email": controller.email,
        "address": {"streetAddress": controller.address, "addressCountry": controller.country},
    }
    if controller.phone:
        party["phone"] = controller.phone
    purpose = {
        "purpose": record.purpose.title,
        "purposeCategory": [record.purpose.name],
        "consentType": "EXPLICIT",
        "piiCategory": [name for name, _ in _views(record)],
        "termination": f"{_text(record.until)}. {controller.withdrawal}" if record.until else controller.withdrawal,
        "thirdPartyDisclosure": bool(controller.recipients),
    }
    if controller.recipients:
        purpose["thirdPartyName"] = ", ".join(controller.recipients)
    return {
        "version": "KI-CR-v1.1.0",
        "jurisdiction": controller.country,
        "consentTimestamp": int(record.decided_at.timestamp()),
        "collectionMethod": record.method,
        "consentReceiptID": _id(record, ReceiptForm.KANTARA),
        "language": notice.language,
        "piiPrincipalId": record.customer.subject,
        "piiControllers": [party],
        "policyUrl": controller.policy_url,
        "services": [{"service": controller.name, "purposes": [purpose]}],
        "sensitive": bool(special),
        "spiCat": special,
    }


FORMS: dict[ReceiptForm, Callable[[ConsentRecord, Controller], dict[str, Any]]] = {
    ReceiptForm.ISO_27560: iso_receipt,
    ReceiptForm.KANTARA: kantara_receipt,
}


def _consent_and_notice(record: ConsentRecord) -> tuple[ConsentRecord, Notice]:
    """The consent that a record gives or ends, and the notice under which it was given. Raises NoReceipt."""
    given = ConsentRecord.objects.filter(
        customer=record.customer_id,
        purpose=record.purpose_id,
        decision=Decision.GIVEN,
        superseded=False,
        sequence__lte=record.sequence,
    )
    consent = given.select_related("notice").order_by("-sequence").first()
    if consent is None or consent.notice is None:
        raise NoReceipt(f"Before consent record {record.sequence} no consent was given: there is nothing to receipt.")
    return consent, consent.notice


def _views(record: ConsentRecord) -> list[tuple[str, str]]:
    """Name and source of each view with values for the purpose: the categories of data."""
    views = catalog().registry.views.values()
    return sorted((view.name, view.source.name) for view in views if record.purpose.name in view.purposes)


def _id(record: ConsentRecord, form: ReceiptForm) -> str:
    return str(uuid5(NAMESPACE_OID, f"rapport {form} {record.customer.subject} {record.sequence}"))


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
