"""Audit log in a database: order, tree heads, proofs, erasure, rotation of keys."""

import json
import threading

import pytest
from django.db import transaction

from featurestore.auditlog import export, selectors
from featurestore.auditlog.entries import Entry, read_content
from featurestore.auditlog.errors import KeyUnusable, NotInTransaction, UnknownEntry
from featurestore.auditlog.log_verifier import Head, Note, Verification, is_consistent, is_included
from featurestore.auditlog.models import EntryContent, Leaf, Node, SigningKey, TreeHead, WaitingEntry
from featurestore.auditlog.services import append, erase_contents, sequence, sequence_due, sign_due
from featurestore.consent.models import ConsentRecord
from tests.auditlog.conftest import SetKeys, write, write_signed
from tests.kit.clock import at
from tests.kit.shop import Shop
from tests.kit.threads import at_once

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database", ["postgres"], indirect=True)
OLD, NEW = "1:" + "o" * 40, "2:" + "n" * 40


def findings(**given: list[str]) -> list[str]:
    verification = Verification(given.get("trusted", ()), given.get("kept_heads", ()))
    return export.verify(verification)


def told() -> list[dict]:
    return [read_content(content) for content in EntryContent.objects.order_by("pk").values_list("content", flat=True)]


def numbers() -> list[int]:
    return [one["details"]["number"] for one in told() if one["type"] == "test.done"]


def test_entries_get_their_index_in_order_and_the_log_verifies(database: str) -> None:
    write(1, 2)
    write(3)
    assert sequence(limit=2) == 2
    write(4)
    assert sequence_due() == 2
    assert not WaitingEntry.objects.exists()
    assert numbers() == [1, 2, 3, 4]
    assert sign_due(at(0)) is not None
    assert findings() == []
    assert list(Leaf.objects.order_by("pk").values_list("pk", flat=True)) == [0, 1, 2, 3]


@on_sqlite
def test_entry_belongs_to_the_transaction_of_what_it_records(database: str) -> None:
    with pytest.raises(NotInTransaction):
        append(Entry("test.done", at(), {}, "system"))
    with transaction.atomic():
        append(Entry("test.done", at(), {}, "system"))
        transaction.set_rollback(True)
    assert sequence() == 0


@on_sqlite
def test_tree_of_more_than_a_block_of_entries_has_proofs(database: str) -> None:
    write_signed(300, 520)
    assert Node.objects.filter(level=8).count() == 2
    entries = selectors.log_state().entries
    for index in (0, 255, 256, 511, 519):
        proof = selectors.proof_of_entry(index)
        head = Head.parse(Note.parse(proof["head"]).text)
        hashes = [bytes.fromhex(one) for one in proof["inclusion"]]
        assert is_included(bytes.fromhex(proof["commitment"]), index, head.size, hashes, head.root)
    growth = selectors.proof_of_growth(300)
    old, new = (Head.parse(Note.parse(growth[which]).text) for which in ("old", "new"))
    hashes = [bytes.fromhex(one) for one in growth["consistency"]]
    assert is_consistent(old.size, new.size, old.root, new.root, hashes)
    assert findings() == []
    for wrong in (-1, entries, entries + 1):
        with pytest.raises(UnknownEntry):
            selectors.proof_of_entry(wrong)
    with pytest.raises(UnknownEntry):
        selectors.proof_of_growth(299)


@on_sqlite
def test_tree_heads_keep_their_distance_and_nothing_new_is_not_signed_again(database: str) -> None:
    assert sign_due(at(0)) is None
    write(1)
    sequence()
    assert sign_due(at(0)) is not None
    sequence()  # the entry that says which key was added
    assert sign_due(at(59)) is None
    assert sign_due(at(60)) is not None
    assert sign_due(at(3600)) is None
    assert list(TreeHead.objects.order_by("pk").values_list("pk", flat=True)) == [1, 2]


def test_erased_content_is_gone_and_the_log_verifies(database: str) -> None:
    write(1, 2, 3, subject="a" * 32)
    write(4)
    sequence()
    sign_due(at(0))
    kept = TreeHead.objects.get().note
    assert erase_contents([0, 1, 2]) == 3
    assert erase_contents([0, 1, 2]) == 0
    assert not EntryContent.objects.filter(subject="a" * 32).exists()
    assert (numbers(), Leaf.objects.filter(pk__lt=3).count()) == ([4], 3)
    sign_due(at(3600))
    assert findings(kept_heads=[kept]) == []
    erasure = told()[-1]
    assert erasure["type"] == "audit_log.contents_erased"
    assert erasure["details"] == {"entries": [[0, 2]]}
    proof = selectors.proof_of_entry(1)
    assert (proof["salt"], proof["content"]) == (None, None)


@on_sqlite
def test_new_key_is_introduced_by_the_one_before_and_both_stay_verifiable(database: str, set_keys: SetKeys) -> None:
    set_keys(OLD)
    write_signed(1)
    set_keys(NEW)
    write(2)
    sequence()
    with pytest.raises(KeyUnusable, match="Put an earlier key after it"):
        sign_due(at(7200))
    set_keys(f"{NEW},{OLD}")
    assert sign_due(at(7200)) is not None
    set_keys(NEW)
    write(3)
    sequence()
    assert sign_due(at(9000)) is not None
    assert findings() == []
    first, second = (key.name for key in SigningKey.objects.order_by("pk"))
    assert (first, second) == ("rapport/audit-log/1", "rapport/audit-log/2")
    assert [one["details"]["introduced_by"] for one in told() if one["type"] == "audit_log.key_added"] == [first, first]


@on_sqlite
def test_decision_is_logged_with_what_was_decided(shop: Shop) -> None:
    shop.register()
    record = shop.give(reason="by telephone").record
    sequence()
    entry = next(one for one in told() if one["details"]["sequence"] == record.sequence)
    assert (entry["type"], entry["subject"]) == ("consent.given", record.customer.subject)
    assert entry["details"]["notice"] == "privacy/1/en"
    assert (entry["details"]["purpose"], entry["details"]["reason"]) == ("service", "by telephone")
    assert ConsentRecord.objects.count() == EntryContent.objects.filter(content__contains='"consent.').count()


@on_postgres
def test_processes_that_append_and_sequence_at_once_stay_in_one_order(shop: Shop) -> None:
    shop.register()
    ended = threading.Event()

    def decide() -> None:
        for _ in range(8):
            shop.give(when=10)
            shop.withdraw(when=10)

    def sequence_all() -> None:
        while not ended.is_set():
            sequence(limit=3)

    sequencers = [threading.Thread(target=at_once, args=[sequence_all]) for _ in range(2)]
    for one in sequencers:
        one.start()
    try:
        at_once(*[decide] * 3)
    finally:
        ended.set()
        for one in sequencers:
            one.join()
    sequence_due()
    sign_due(at(0))
    assert findings() == []
    sequences = [one["details"]["sequence"] for one in told() if one["type"].startswith("consent.")]
    assert sequences == sorted(ConsentRecord.objects.values_list("sequence", flat=True))


@on_sqlite
def test_export_has_what_the_database_has(database: str) -> None:
    write_signed(2, 5)
    erase_contents([1])
    kinds = [line["kind"] for line in export.lines()]
    assert kinds[0] == "key"
    assert kinds[-1] == "end"
    assert kinds.count("head") == 2
    entries = [line for line in export.lines() if line["kind"] == "entry"]
    assert [one["index"] for one in entries] == list(range(Leaf.objects.count()))
    assert [one["index"] for one in entries if one["content"] is None] == [1]
    assert json.loads(json.dumps(entries)) == entries
