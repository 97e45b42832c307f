"""Erasure certificate as a signed document: of every location, only once each is proven, and without a name."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from featurestore.auditlog import export
from featurestore.auditlog.document_proofs import published_keys
from featurestore.auditlog.document_verifier import verify_document
from featurestore.auditlog.services import sequence, sign_due
from featurestore.requests.erasure.certificate_document import certificate_document
from featurestore.requests.erasure.errors import NoCertificate
from featurestore.requests.erasure.models import Erasure, ErasureStep
from tests.kit.clock import at
from tests.kit.erasures import IN_MEMORY, ErasureEnvironment

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def run(reference: str) -> str:
    out = StringIO()
    call_command("erasure_certificate", reference, stdout=out)
    return out.getvalue()


def test_certificate_states_every_location_and_names_nobody(erasures: ErasureEnvironment) -> None:
    subject = erasures.shop.register().customer.subject
    erasure = erasures.start()
    with pytest.raises(NoCertificate, match="not finished yet"):
        certificate_document(str(erasure.pk))
    erasures.walk_to_answer()
    erasure.refresh_from_db()
    reference = str(erasure)
    document = certificate_document(reference)
    assert document == certificate_document(str(erasure.pk))
    locations = {one["location"]: one for one in document["locations"]}
    assert set(IN_MEMORY) <= set(locations)
    assert {one["traces"] for one in locations.values()} == {0}
    assert all(one["checked_at"] or one["gone_by"] for one in locations.values())
    assert (document["request"], document["purposes"]) == (reference, "all")
    assert not any(name in json.dumps(document) for name in ('"ann"', subject))
    with pytest.raises(CommandError, match="no tree head covers it yet"):
        run(reference)
    sequence()
    assert sign_due(at(10**6)) is not None
    keys = [key for key, _ in published_keys()]
    assert len(export.key_notes()) == 1
    found = verify_document(run(reference), keys)
    assert (found.kind, found.document) == ("erasure_certificate", document)


def test_unknown_and_unproven_erasures_have_none(erasures: ErasureEnvironment) -> None:
    for unknown in ("999", "RQ-UNKNOWN", "9" * 40, "²"):
        with pytest.raises(CommandError, match="No erasure has this"):
            run(unknown)
    erasures.shop.register()
    erasure = erasures.start()
    erasures.walk_to_answer()
    ErasureStep.objects.filter(erasure=erasure, location="events").update(state=ErasureStep.State.UNAVAILABLE)
    assert Erasure.objects.get().state != Erasure.State.ERASING
    with pytest.raises(NoCertificate, match="not proven in events yet"):
        certificate_document(str(erasure.pk))
