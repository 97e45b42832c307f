"""Signed manifests: verified by the documents' verifier, and refused for what no export issued."""

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from featurestore.auditlog.document_proofs import verify_logged
from featurestore.auditlog.services import sequence, sign_due
from featurestore.clock import database_now
from featurestore.compliance.errors import ManifestRefused
from featurestore.compliance.export import Exported, export
from featurestore.compliance.report import Period
from featurestore.compliance.reports import REPORTS
from featurestore.compliance.signing import MAX_BYTES, signed_manifest
from tests.kit.clock import at
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def done(shop: Shop, tmp_path: Path) -> Exported:
    shop.register()
    shop.give()
    return export(REPORTS["consent-register"], Period(None, at(60)), "csv", tmp_path / "new", "olivia")


def change(path: Path, **members: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


def test_a_manifest_is_signed_once_a_tree_head_covers_it(done: Exported) -> None:
    with pytest.raises(CommandError, match="again in a minute"):
        call_command("compliance", "sign", str(done.manifest))
    sequence()
    assert sign_due(database_now()) is not None
    signed = signed_manifest(done.manifest)
    found = verify_logged(json.dumps(signed)).verified
    assert found.kind == "compliance_manifest"
    assert found.document == json.loads(done.manifest.read_text())


@pytest.mark.parametrize(
    "member", [{"rows": 2}, {"made_by": "x"}, {"sha256": "0" * 64}, {"file": "../x"}, {"rows": 0.5}]
)
def test_a_changed_manifest_gets_no_proof(done: Exported, member: dict[str, object]) -> None:
    change(done.manifest, **member)
    with pytest.raises(ManifestRefused):
        signed_manifest(done.manifest)


def test_a_changed_or_missing_file_gets_no_proof(done: Exported) -> None:
    done.file.write_text(done.file.read_text().replace("given", "taken"))
    with pytest.raises(ManifestRefused, match="was changed since"):
        signed_manifest(done.manifest)
    done.file.unlink()
    with pytest.raises(CommandError, match="No such file"):
        call_command("compliance", "sign", str(done.manifest))


@pytest.mark.parametrize("text", ["", '{"file": ', "[]", "[" * 50_000, " " * (MAX_BYTES + 1)])
def test_what_is_no_manifest_is_refused(done: Exported, text: str) -> None:
    done.manifest.write_text(text)
    with pytest.raises(ManifestRefused):
        signed_manifest(done.manifest)
