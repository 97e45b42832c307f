"""Audit log in the administration: its entries, their proofs, its verification, where its tree heads are sent."""

import html
import json

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from featurestore.auditlog.log_verifier import Head, Note, commitment_of, is_included, leaf_hash
from featurestore.auditlog.models import EntryContent, LogVerification, TreeHead
from featurestore.auditlog.selectors import proof_of_entry
from featurestore.auditlog.services import verify_due
from featurestore.config import settings
from tests.admin.environment import AdminEnvironment, text_of
from tests.kit.clock import at

ENTRIES, ENTRY = "admin:auditlog_entrycontent_changelist", "admin:auditlog_entrycontent_change"
VERIFY = "admin:auditlog_logverification_verify_now"


def test_officer_finds_the_entries_of_a_customer_and_reads_one(env: AdminEnvironment) -> None:
    env.register("anna")
    env.give("C42")
    env.give("anna")
    entry = env.log_entries("anna")
    olivia = env.log_in("olivia")
    for term in ("anna", env.customers["anna"].subject, str(entry.index)):
        found = list(olivia.get(reverse(ENTRIES), {"q": term}).context["cl"].result_list)
        assert found == [entry], term
    assert not list(olivia.get(reverse(ENTRIES), {"q": "nobody"}).context["cl"].result_list)
    page = text_of(olivia.get(reverse("admin:auditlog_entrycontent_change", args=[entry.pk])))
    assert "&quot;notice&quot;: &quot;privacy/1/en&quot;" in page
    assert "Signed" in page


@pytest.mark.parametrize("term", ["9" * 40, "-1", "٣", "1.0", "' OR 1=1"])
def test_search_for_what_is_no_number_finds_nothing(env: AdminEnvironment, term: str) -> None:
    env.give("C42")
    env.log_entries()
    page = env.log_in("olivia").get(reverse(ENTRIES), {"q": term})
    assert (page.status_code, list(page.context["cl"].result_list)) == (200, [])


def test_entries_are_filtered_by_what_they_are_about(env: AdminEnvironment) -> None:
    env.give("C42")
    env.log_entries()
    olivia = env.log_in("olivia")
    shown = {
        about: {entry.type.partition(".")[0] for entry in olivia.get(address).context["cl"].result_list}
        for about in ("consent", "purpose", "login", "made_up")
        if (address := f"{reverse(ENTRIES)}?about={about}")
    }
    assert shown["consent"] == {"consent"}
    assert shown["purpose"] == {"purpose"}
    assert shown["login"] == set()
    assert shown["made_up"] == {
        entry.partition(".")[0] for entry in EntryContent.objects.values_list("type", flat=True)
    }


def test_downloaded_proof_leads_to_the_signed_tree_head(env: AdminEnvironment) -> None:
    env.give("C42")
    entry = env.log_entries()
    answer = env.log_in("olivia").get(reverse("admin:auditlog_entrycontent_proof", args=[entry.pk]))
    assert answer["Content-Disposition"] == f'attachment; filename="audit-log-entry-{entry.pk}.json"'
    told = json.loads(answer.content)
    commitment = commitment_of(bytes.fromhex(told["salt"]), told["content"])
    head = Head.parse(Note.parse(told["head"]).text)
    assert is_included(commitment, entry.pk, head.size, map(bytes.fromhex, told["inclusion"]), head.root)


def test_entry_that_no_tree_head_covers_has_no_proof_yet(env: AdminEnvironment) -> None:
    env.give("C42")
    env.log_entries()
    env.give("C42", "analytics")
    last = env.log_entries()
    TreeHead.objects.order_by("-size").first().delete()  # type: ignore[union-attr]
    page = env.log_in("olivia").get(reverse("admin:auditlog_entrycontent_proof", args=[last.pk]), follow=True)
    assert f"No tree head covers entry {last.pk} yet" in text_of(page)
    assert "Not yet" in text_of(page)


def test_engineer_has_the_log_verified_and_reads_no_entry(env: AdminEnvironment) -> None:
    env.give("C42")
    env.log_entries()
    petra = env.log_in("petra")
    assert petra.get(reverse(ENTRIES)).status_code == 403
    page = text_of(petra.post(reverse(VERIFY), {"post": "yes"}, follow=True))
    assert "It starts within a minute." in page
    assert "Running" in page
    run = verify_due()
    assert run is not None
    assert (run.started_by, run.found, run.entries) == ("petra", 0, EntryContent.objects.count())
    assert "Everything holds" in text_of(petra.get(reverse("admin:auditlog_logverification_changelist")))


def test_entrys_page_has_canonical_json_leaf_and_proof(env: AdminEnvironment) -> None:
    env.give("C42")
    entry = env.log_entries()
    proof = proof_of_entry(entry.index)
    for name in ("olivia", "anton"):
        page = html.unescape(text_of(env.log_in(name).get(reverse(ENTRY, args=[entry.pk]))))
        leaf = leaf_hash(bytes.fromhex(proof["commitment"])).hex()
        for told in (entry.content, proof["commitment"], leaf, *proof["inclusion"], proof["head"].splitlines()[2]):
            assert told in page


def test_who_may_not_view_customers_sees_no_entry_about_one(env: AdminEnvironment) -> None:
    env.give("C42")
    entry = env.log_entries()
    chris = User.objects.get(username="chris")
    chris.user_permissions.add(Permission.objects.get(codename="view_entrycontent"))
    browser = env.log_in("chris")
    listed = list(browser.get(reverse(ENTRIES)).context["cl"].result_list)
    assert listed
    assert {one.subject for one in listed} == {""}
    assert browser.get(reverse(ENTRIES), {"q": entry.subject}).context["cl"].result_count == 0
    assert browser.get(reverse(ENTRY, args=[entry.pk])).status_code == 302


@pytest.mark.parametrize("content", ["[nothing", "[]", "{}"])
def test_content_that_was_altered_is_shown_as_it_is(env: AdminEnvironment, content: str) -> None:
    env.give("C42")
    entry = env.log_entries()
    EntryContent.objects.filter(pk=entry.pk).delete()
    entry.content = content
    entry.save(force_insert=True)
    page = env.log_in("olivia").get(reverse(ENTRY, args=[entry.pk]))
    assert page.status_code == 200
    assert content in text_of(page)


def test_verification_says_how_far_it_is(env: AdminEnvironment) -> None:
    env.give("C42")
    env.log_entries()
    LogVerification.objects.create(started_at=at(0), entries=2)
    page = text_of(env.log_in("anton").get(reverse("admin:auditlog_logverification_changelist")))
    assert f"2 of {EntryContent.objects.count()}" in page


def test_what_does_not_hold_is_shown(env: AdminEnvironment) -> None:
    run = env.log_verification(1)
    page = text_of(env.log_in("olivia").get(reverse("admin:auditlog_logverification_change", args=[run.pk])))
    assert "Altered" in page
    assert "entry 5: missing" in page


def test_place_of_tree_heads_says_why_it_lacks_one(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    place = env.tree_head_place()
    olivia, address = env.log_in("olivia"), reverse("admin:auditlog_headdestination_changelist")
    assert "Not in the settings" in text_of(olivia.get(address))
    monkeypatch.setenv("RAPPORT_AUDIT_LOG_SEND_TO", place.address)
    settings.cache_clear()
    listed = text_of(olivia.get(address))
    assert "Failing" in listed
    assert "The disk is full." in listed
    settings.cache_clear()
