"""Rows that were altered, removed, reordered or inserted behind Rapport's back are found, and the entry is named.

Whoever does it can write every row, but has no key that signs.
"""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from featurestore.auditlog import export
from featurestore.auditlog.errors import LogDamaged
from featurestore.auditlog.log_verifier import (
    CompactRange,
    Head,
    Verification,
    commitment_of,
    leaf_hash,
)
from featurestore.auditlog.models import EntryContent, Leaf, Node, TreeHead, WaitingEntry
from featurestore.auditlog.services import sequence, sign_due
from featurestore.auditlog.signing_keys import SigningPair, signing_pairs
from tests.auditlog.conftest import write, write_signed
from tests.kit.clock import at

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SIZES = (4, 8, 12)


@pytest.fixture
def log(database: str) -> str:
    """A log with three tree heads, without the triggers that refuse changes; the note of the second head."""
    write_signed(*SIZES)
    with connection.cursor() as cursor:
        for model in (Leaf, EntryContent, Node, TreeHead):
            cursor.execute(f"DROP TRIGGER {model._meta.db_table}_rows")
    return TreeHead.objects.get(pk=8).note


def findings(*kept: str) -> list[str]:
    return export.verify(Verification((), kept))


def alter_content() -> None:
    EntryContent.objects.filter(pk=5).update(content='{"type":"something.else"}')


def alter_content_and_commitment() -> None:
    salt = bytes(EntryContent.objects.get(pk=5).salt)
    alter_content()
    Leaf.objects.filter(pk=5).update(commitment=commitment_of(salt, '{"type":"something.else"}'))


def alter_column() -> None:
    EntryContent.objects.filter(pk=5).update(actor="Staff T")


def remove_content() -> None:
    EntryContent.objects.filter(pk=5).delete()


def remove_entry() -> None:
    EntryContent.objects.filter(pk=5).delete()
    Leaf.objects.filter(pk=5).delete()


def swap(model: type, *names: str) -> None:
    first, second = model.objects.get(pk=5), model.objects.get(pk=6)  # type: ignore[attr-defined]
    for name in names:
        mine, other = getattr(first, name), getattr(second, name)
        setattr(first, name, other)
        setattr(second, name, mine)
    first.save()
    second.save()


def reorder() -> None:
    swap(EntryContent, "salt", "content")
    swap(Leaf, "commitment")


def insert() -> None:
    """An entry at 5; those from there on get the next number."""
    for index in reversed(range(5, Leaf.objects.count())):
        content = EntryContent.objects.get(pk=index)
        EntryContent.objects.filter(pk=index + 1).delete()
        content.pk = index + 1
        content.save(force_insert=True)
        leaf = Leaf.objects.get(pk=index)
        Leaf.objects.filter(pk=index + 1).delete()
        Leaf.objects.create(index=index + 1, commitment=leaf.commitment, root=leaf.root)
    salt, content = bytes(32), '{"type":"made.up"}'
    EntryContent.objects.filter(pk=5).update(salt=salt, content=content)
    Leaf.objects.filter(pk=5).update(commitment=commitment_of(salt, content))


def alter_all_roots() -> None:
    """What can be computed without a key is made to agree with an altered entry."""
    alter_content_and_commitment()
    tree = CompactRange()
    for leaf in Leaf.objects.order_by("pk"):
        tree.append(leaf_hash(bytes(leaf.commitment)))
        leaf.root = tree.root()
        leaf.save()


@pytest.mark.parametrize(
    ("tampering", "first"),
    [
        (alter_content, "entry 5: its content is not the one that was appended"),
        (alter_content_and_commitment, "entry 5: from here on the entries are not those whose root was stored"),
        (alter_column, "entry 5: the columns by which it is searched are not what its content says"),
        (remove_content, "entry 5: the content was removed, and no entry says that it was erased"),
        (remove_entry, "entry 5: missing"),
        (reorder, "entry 5: from here on the entries are not those whose root was stored"),
        (insert, "entry 5: from here on the entries are not those whose root was stored"),
        (alter_all_roots, "entries 4 to 7: not what the tree head of 8 entries signed"),
    ],
)
def test_tampering_is_found_and_named(log: str, tampering: Callable[[], None], first: str) -> None:
    assert findings() == []
    tampering()
    assert findings()[0].startswith(first)


def test_root_that_was_altered_alone_is_named_and_the_tree_heads_hold(log: str) -> None:
    Leaf.objects.filter(pk=5).update(root=bytes(32))
    assert [one.partition(":")[0] for one in findings()] == ["entry 5"]


def test_cut_log_is_found_by_a_tree_head_that_was_kept(log: str) -> None:
    for model in (Leaf, EntryContent):
        model.objects.filter(pk__gte=6).delete()
    TreeHead.objects.filter(pk__gt=6).delete()
    assert findings() == []  # nothing in the database tells
    assert findings(log) == ["a kept tree head has 8 entries, and the log 6: its end was removed"]


def test_rewritten_log_is_found_by_a_tree_head_that_was_kept(log: str) -> None:
    alter_all_roots()
    TreeHead.objects.filter(pk__gt=4).delete()
    assert findings() == []
    assert findings(log) == ["entries 4 to 7: not what a kept tree head of 8 entries signed"]


def test_tree_head_of_another_key_is_found(log: str) -> None:
    forged = stranger().sign(Head(12, CompactRange().root(), 0).text)
    TreeHead.objects.filter(pk=12).update(note=forged)
    assert findings() == ["the tree head of 12 entries is signed by no key that is trusted"]


@pytest.mark.parametrize("note", ["", "no note", "rapport/audit-log\n12\nAAAA\n\n— a b\n"])
def test_tree_head_that_is_no_note_is_found(log: str, note: str) -> None:
    TreeHead.objects.filter(pk=12).update(note=note)
    (found,) = findings()
    assert found.startswith("a tree head can't be read")


def test_two_tree_heads_of_the_same_size_are_found(log: str) -> None:
    (pair,) = signing_pairs()
    other = pair.sign(Head(8, bytes(32), 0).text)
    assert findings(log) == []
    assert findings(other) == ["entries 4 to 7: not what a kept tree head of 8 entries signed"]


def test_log_without_any_tree_head_does_not_hold(log: str) -> None:
    TreeHead.objects.all().delete()
    assert findings() == ["no tree head is signed by a key that is trusted"]


def test_log_that_lost_what_was_signed_is_not_signed_again(log: str) -> None:
    alter_content_and_commitment()
    write(1)
    sequence()
    with pytest.raises(LogDamaged, match="its tree head of 12 entries signed"):
        sign_due(at(99_999))
    assert not WaitingEntry.objects.exists()


def stranger() -> SigningPair:
    (pair,) = signing_pairs()
    return pair._replace(private=Ed25519PrivateKey.from_private_bytes(bytes(32)))
