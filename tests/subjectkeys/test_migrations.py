"""Migrations of what was stored before: texts of RAPPORT_CONTACT_KEY, and entries of the audit log without columns."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from featurestore.auditlog import export
from featurestore.auditlog.log_verifier import Verification
from featurestore.auditlog.models import EntryContent
from featurestore.requests.contact_box import encrypt
from featurestore.requests.models import Contact, CustomerMessage, SubjectRequest
from featurestore.subjectkeys.key_store import KeyStore
from tests.auditlog.conftest import write_signed
from tests.kit.databases import database

__all__ = ["database"]

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def newest(database: str) -> Iterator[None]:
    yield
    migrate()


def migrate(*targets: tuple[str, str]) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate(list(targets) or executor.loader.graph.leaf_nodes())
    return MigrationExecutor(connection).loader.project_state(list(targets)).apps if targets else None


def test_texts_of_requests_are_encrypted_by_their_subjects_keys(newest: None, store: KeyStore) -> None:
    apps = migrate(("requests", "0007_clock"))
    regime = apps.get_model("requests", "Regime").objects.first()
    rule = apps.get_model("requests", "RegimeRule").objects.filter(regime=regime).first()
    before = apps.get_model("requests", "SubjectRequest").objects.create(
        reference="R-2222-3333", type="access", regime=regime, rule=rule, channel="api", received_at=NOW,
        changed_at=NOW, due_at=NOW, subject="s1", encrypted_details=encrypt("Where is it?"), encrypted_answer="",
    )  # fmt: skip
    contact = apps.get_model("requests", "Contact").objects.create(
        subject="s1", kind="email", encrypted_address=encrypt("ann@x.example"), digest="d", recorded_by="shop",
        recorded_at=NOW,
    )  # fmt: skip
    apps.get_model("requests", "CustomerMessage").objects.create(
        request=before, kind="answer", language="en", contact=contact, encrypted_text=encrypt("Subject\n\nText"),
        created_at=NOW, next_attempt_at=NOW,
    )  # fmt: skip
    migrate()
    request = SubjectRequest.objects.get()
    assert (request.details, request.answer) == ("Where is it?", "")
    assert Contact.objects.get().address == "ann@x.example"
    assert CustomerMessage.objects.get().text == "Subject\n\nText"
    assert store.count(["s1"]) == 1
    migrate(("requests", "0007_clock"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT encrypted_address FROM requests_contact")
        assert str(cursor.fetchone()[0]).startswith("gAAAA")


def test_entries_of_the_audit_log_get_their_columns_and_verify(newest: None) -> None:
    write_signed(3)
    contents = list(EntryContent.objects.order_by("index").values_list("at", "type", "actor"))
    migrate(("auditlog", "0002_append_only"))
    migrate()
    assert list(EntryContent.objects.order_by("index").values_list("at", "type", "actor")) == contents
    assert export.verify(Verification()) == []
    with pytest.raises(Exception, match="append-only"):
        EntryContent.objects.update(actor="x")
