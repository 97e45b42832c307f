"""Columns of encrypted texts: what a row reads and sets is the text, and what is stored is not."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from featurestore.config import settings
from featurestore.customers.selectors import stored_subject
from featurestore.requests.actors import Actor
from featurestore.requests.models import Contact
from featurestore.requests.services.verification import record_contact
from featurestore.subjectkeys.errors import Unreadable
from featurestore.subjectkeys.fields import opened, shown_text
from featurestore.subjectkeys.key_store import KeyStore
from tests.kit.clock import at
from tests.kit.databases import database

__all__ = ["database"]

ADDRESS = "ann@shop.example"
SHOP = Actor("client", "shop")
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def contact(database: str, store: KeyStore) -> Contact:
    return record_contact("ann", "email", ADDRESS, SHOP, at())


def stored(contact: Contact) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT address FROM requests_contact WHERE id = %s", [contact.pk])
        return str(cursor.fetchone()[0])


def test_row_reads_the_text_and_the_table_has_none(contact: Contact) -> None:
    for row in (contact, Contact.objects.get(), Contact.objects.defer("address").get(), *Contact.objects.all()):
        assert row.address == ADDRESS
        assert opened(row) == {"address": ADDRESS}
    assert stored(contact).startswith("1:")
    assert ADDRESS not in str(list(Contact.objects.values()))


def test_row_that_is_saved_without_a_change_keeps_its_bytes(contact: Contact) -> None:
    before, row = stored(contact), Contact.objects.get()
    row.recorded_by = "another"
    row.save()
    assert stored(contact) == before
    row.address = "new@shop.example"
    row.save(update_fields=["address"])
    assert stored(contact) != before
    assert Contact.objects.get().address == "new@shop.example"


def test_text_is_neither_updated_nor_looked_for_in_the_table(contact: Contact) -> None:
    with pytest.raises(TypeError, match=r"requests_contact\.address is encrypted"):
        Contact.objects.update(address="plain")
    with pytest.raises(TypeError, match=r"requests_contact\.address is encrypted"):
        Contact.objects.filter(address=ADDRESS).exists()
    assert Contact.objects.get().address == ADDRESS


def test_text_that_was_moved_to_another_row_does_not_open(contact: Contact) -> None:
    bob = record_contact("bob", "email", "bob@shop.example", SHOP, at())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE requests_contact SET address = %s WHERE id = %s", [stored(contact), bob.pk])
    moved = Contact.objects.get(pk=bob.pk)
    with pytest.raises(Unreadable):
        _ = moved.address
    assert shown_text(moved, "address").startswith("(An encrypted value was altered, moved to another subject's row")


def test_same_contact_is_found_by_its_keyed_hash(contact: Contact) -> None:
    assert record_contact("ann", "email", "Ann@Shop.example", SHOP, at(1)) == contact
    assert Contact.objects.count() == 1


def test_key_store_that_does_not_answer_is_shown(contact: Contact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPPORT_KEY_STORE_URL", "sqlite:////proc/none/keys.sqlite3")
    settings.cache_clear()
    assert shown_text(Contact.objects.get(), "address").startswith("(The key store does not answer: ")


def test_backup_of_before_an_erasure_is_unreadable_with_all_keys_of_today(
    contact: Contact, store: KeyStore, tmp_path: Path
) -> None:
    record_contact("bob", "email", "bob@shop.example", SHOP, at())
    connection.close()
    database = Path(connection.settings_dict["NAME"])
    backup = tmp_path / "backup.sqlite3"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    Contact.objects.filter(subject=stored_subject("ann")).delete()
    store.erase([stored_subject("ann")])
    connection.close()
    for leftover in database.parent.glob(f"{database.name}-*"):
        leftover.unlink()
    shutil.copy(backup, database)  # restored, with all keys that exist today
    shown = {row.subject: shown_text(row, "address") for row in Contact.objects.all()}
    assert shown[stored_subject("bob")] == "bob@shop.example"
    assert shown[stored_subject("ann")].startswith("(The key of this text is not there")
