"""Requests in the administration: the queue, a request's page, its actions, bulk actions with their effect."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.permission import Denial
from featurestore.requests import services
from featurestore.requests.admin.due import due_text
from featurestore.requests.models import CustomerMessage, SubjectRequest
from featurestore.requests.services import handling, messages
from tests.admin.environment import AdminEnvironment, text_of
from tests.kit.requests import OLIVIA, SHOP

QUEUE = reverse("admin:requests_subjectrequest_changelist")


def page_of(request: SubjectRequest, action: str = "change") -> str:
    return reverse(f"admin:requests_subjectrequest_{action}", args=[request.pk])


def shown(browser: Client, **query: str) -> list[str]:
    return [row.reference for row in browser.get(QUEUE, query).context["cl"].result_list]


def actions(page: HttpResponse) -> set[str]:
    return {page.name for page, _ in page.context["pages"]}


def move(request: SubjectRequest, days: float) -> None:
    """Have it received and due so many days earlier."""
    earlier = timedelta(days=days)
    SubjectRequest.objects.filter(pk=request.pk).update(
        received_at=request.received_at - earlier, due_at=request.due_at - earlier
    )


def test_queue_is_ordered_by_what_is_due_without_unverified_and_ended_requests(env: AdminEnvironment) -> None:
    later, unverified = env.subject_request(), env.subject_request("access", "C1", attested=False)
    overdue, ended = env.subject_request("erasure"), env.subject_request("portability")
    waiting = env.subject_request("objection")
    move(overdue, 40)
    services.withdraw(ended.reference, OLIVIA, "by phone")
    services.wait_for_customer(waiting.reference, OLIVIA, "which one?")
    browser = env.log_in("olivia")
    assert shown(browser) == [overdue.reference, later.reference, waiting.reference]
    assert shown(browser, shown="unverified") == [unverified.reference]
    assert shown(browser, shown="overdue") == [overdue.reference]
    assert shown(browser, shown="ended") == [ended.reference]
    assert len(shown(browser, shown="all")) == 5
    assert "overdue" in text_of(browser.get(QUEUE))


def test_search_finds_reference_and_customer_whatever_the_state(env: AdminEnvironment) -> None:
    unverified = env.subject_request(customer_id="C1", attested=False)
    browser = env.log_in("olivia")
    for term in (unverified.reference, unverified.reference.lower(), "C1"):
        assert shown(browser, q=term) == [unverified.reference]
    assert shown(browser, q="C42") == []
    assert shown(env.log_in("iris"), q=unverified.reference) == [unverified.reference]
    assert shown(env.log_in("iris"), q="C1") == []


def test_due_text_counts_down_and_stands_still(env: AdminEnvironment) -> None:
    request = env.subject_request()
    assert due_text(request, request.due_at - timedelta(days=20))[0] == "later"
    assert due_text(request, request.due_at - timedelta(days=2)) == (
        "soon", f"{request.due_at - timedelta.resolution:%-d %b %Y}, 2 days left",
    )  # fmt: skip
    assert due_text(request, request.due_at)[0] == "overdue"
    waiting = services.wait_for_customer(request.reference, OLIVIA, "which one?")
    assert due_text(waiting, request.due_at)[0] == "paused"


def test_page_shows_words_timeline_and_what_can_be_done(env: AdminEnvironment) -> None:
    request = env.subject_request("restriction", details="My lamp <b>", purposes=["service"])
    page = env.log_in("olivia").get(page_of(request))
    assert actions(page) == {"contact", "assign", "answer", "wait", "extend", "refuse", "withdraw"}
    for text in ("My lamp &lt;b&gt;", "Pauses service", "C42", "Verified", "Acknowledgement", "To be sent by hand"):
        assert text in text_of(page)


def test_who_may_not_view_customers_sees_no_customer_and_no_words(env: AdminEnvironment) -> None:
    request = env.subject_request(details="My lamp")
    page = env.log_in("iris").get(page_of(request))
    assert actions(page) == set()
    assert not re.search("C42|lamp", text_of(page))
    assert "C42" not in text_of(env.log_in("iris").get(QUEUE))


def test_assignee_works_on_the_request_and_on_no_other(env: AdminEnvironment) -> None:
    mine, other = env.subject_request(), env.subject_request("erasure")
    iris, browser = User.objects.get(username="iris"), env.log_in("iris")
    services.assign(mine.reference, iris, OLIVIA)
    assert shown(browser, assigned="me") == [mine.reference]
    assert actions(browser.get(page_of(mine))) == {"contact", "answer", "wait", "extend", "refuse", "withdraw"}
    assert browser.post(page_of(mine, "wait"), {"reason": "which one?"}).status_code == 302
    assert browser.post(page_of(other, "wait"), {"reason": "which one?"}).status_code == 403
    assert browser.post(page_of(mine, "assign"), {"assignee": ""}).status_code == 403
    mine.refresh_from_db()
    assert (mine.state, mine.assignee) == ("waiting", iris)
    services.assign(mine.reference, None, OLIVIA)
    assert browser.post(page_of(mine, "continue"), {}).status_code == 403


def test_officer_takes_a_request_in_verifies_assigns_and_answers_it(env: AdminEnvironment) -> None:
    env.subject_request()  # seeds the regimes
    browser = env.log_in("olivia")
    fields = {"type": "restriction", "regime": "gdpr", "language": "de", "details": "By phone."}
    made = browser.post(reverse("admin:requests_subjectrequest_add"), fields)
    request = SubjectRequest.objects.latest("pk")
    assert made.headers["Location"] == page_of(request)
    assert actions(browser.get(page_of(request))) == {"verify", "refuse", "withdraw"}
    browser.post(page_of(request, "verify"), {"customer_id": "C42", "reason": "called back"})
    browser.post(page_of(request, "contact"), {"kind": "email", "address": "ann@example.org"})
    browser.post(page_of(request, "assign"), {"assignee": User.objects.get(username="olivia").pk, "reason": ""})
    answer = {"text": "Es ist eingeschränkt.", "done": "paused all purposes"}
    preview = browser.post(page_of(request, "answer"), answer)
    assert "Die Antwort auf Ihren Antrag" in text_of(preview)
    assert "Es ist eingeschränkt." in text_of(preview)
    request.refresh_from_db()
    assert request.state == "in_progress", "looked at, and not done"
    done = browser.post(page_of(request, "answer"), answer | {"confirmed": "yes"}, follow=True)
    assert "Answered." in text_of(done)
    assert env.read("C42") is Denial.PAUSED
    messages.deliver_due()
    assert "Es ist eingeschränkt." in mail.outbox[-1].body
    browser.post(page_of(request, "close"), {"reason": ""})
    request.refresh_from_db()
    assert request.state == "closed"
    assert [event.actor for event in request.events.filter(role="staff")] == ["olivia"] * 5


def test_verification_of_a_duplicate_says_which_request_proceeds(env: AdminEnvironment) -> None:
    first = env.subject_request("access", "C42")
    second = env.subject_request("access", "", attested=False)
    done = env.log_in("olivia").post(
        page_of(second, "verify"), {"customer_id": "C42", "reason": "called back"}, follow=True
    )
    assert f"duplicate of {first.reference}" in text_of(done)


def test_refusal_shows_its_message_and_waits_for_a_second_person(
    env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = settings().model_copy(update={"refusals_need_approval": True})
    monkeypatch.setattr(handling, "settings", lambda: two)
    request = env.subject_request()
    olivia, anton = env.log_in("olivia"), env.log_in("anton")
    refusal = {"ground": "excessive", "reason": "The tenth this week."}
    assert "is excessive" in text_of(olivia.post(page_of(request, "refuse"), refusal))
    done = olivia.post(page_of(request, "refuse"), refusal | {"confirmed": "yes"}, follow=True)
    assert "waits for another person" in text_of(done)
    assert "1 refusal to approve" in text_of(anton.get(reverse("admin:index")))
    assert actions(anton.get(page_of(request))) == {"approve", "return"}
    assert olivia.post(page_of(request, "approve"), {"reason": ""}).status_code == 403
    User.objects.get(username="anton").groups.set(User.objects.get(username="olivia").groups.all())
    anton.post(page_of(request, "return"), {"reason": "it is the second"})
    request.refresh_from_db()
    assert request.state == "to_approve", "the role was taken away"


def test_approver_who_is_the_proposer_is_refused(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    two = settings().model_copy(update={"refusals_need_approval": True})
    monkeypatch.setattr(handling, "settings", lambda: two)
    request, browser = env.subject_request(), env.log_in("root")
    refusal = {"ground": "excessive", "reason": "The tenth this week.", "confirmed": "yes"}
    browser.post(page_of(request, "refuse"), refusal)
    assert "another person must approve it" in text_of(browser.post(page_of(request, "approve"), {"reason": ""}))
    request.refresh_from_db()
    assert request.state == "to_approve"


def bulk(browser: Client, requests: list[SubjectRequest], action: str, **answers: str) -> HttpResponse:
    data = {"action": f"{action}_selected", "_selected_action": [one.pk for one in requests], **answers}
    return browser.post(f"{QUEUE}?shown=all", data, follow=True)


def test_bulk_action_states_its_effect_on_each_request_before_it_acts(env: AdminEnvironment) -> None:
    restricted, plain = env.subject_request("restriction"), env.subject_request()
    ended = env.subject_request("erasure")
    services.withdraw(ended.reference, OLIVIA, "by phone")
    browser, chosen = env.log_in("olivia"), [restricted, plain, ended]
    preview = text_of(bulk(browser, chosen, "answer"))
    for text in ("Pauses analytics, delivery, fraud, service", "nothing else changes", "not changed: it is withdrawn"):
        assert text in preview
    assert not SubjectRequest.objects.filter(state="answered").exists()
    done = text_of(bulk(browser, chosen, "answer", confirmed="yes", text="It is done.", done="paused"))
    assert "2 requests answered." in done
    assert "1 request not changed." in done
    extension = text_of(bulk(browser, [env.subject_request("portability")], "extend"))
    assert re.search(r"due \d+ \w+ \d{4} instead of \d+ \w+ \d{4}", extension)
    assert bulk(env.log_in("iris"), chosen, "close", confirmed="yes").status_code == 200
    assert not SubjectRequest.objects.filter(state="closed").exists(), "intake has no such action"


def test_link_to_the_form_is_made_and_opens(env: AdminEnvironment, client: Client) -> None:
    env.subject_request()
    address = reverse("admin:requests_subjectrequest_make_link")
    page = env.log_in("iris").post(address, {"regime": "gdpr", "language": "es", "hours": "24"})
    (url,) = re.findall(r'value="(http[^"]+)"', page.content.decode())
    assert client.get(url.removeprefix(settings().public_url)).status_code == 200
    assert env.log_in("petra").get(address).status_code == 403


def test_message_without_a_contact_is_recorded_as_sent_by_hand(env: AdminEnvironment) -> None:
    message = env.subject_request().messages.get()
    browser = env.log_in("olivia")
    page = reverse("admin:requests_customermessage_change", args=[message.pk])
    assert "We received your request" in text_of(browser.get(page))
    assert "1 message to send by hand" in text_of(browser.get(reverse("admin:index")))
    refused = browser.post(reverse("admin:requests_customermessage_again", args=[message.pk]), {})
    assert "no contact on record" in text_of(refused)
    browser.post(reverse("admin:requests_customermessage_by_hand", args=[message.pk]), {"reason": "by post"})
    message.refresh_from_db()
    assert message.state == CustomerMessage.State.SENT


def test_your_work_begins_with_what_is_due(env: AdminEnvironment) -> None:
    overdue, assigned = env.subject_request("erasure"), env.subject_request()
    move(overdue, 40)
    move(assigned, 28)
    env.subject_request("access", "C1", attested=False)
    services.assign(assigned.reference, User.objects.get(username="iris"), OLIVIA)
    work = env.log_in("olivia").get(reverse("admin:index")).context["work"]
    assert work.items[0].text.startswith("Due: 2 requests, 1 overdue, the first since ")
    assert "1 request to verify" in [item.text for item in work.items]
    (mine,) = env.log_in("iris").get(reverse("admin:index")).context["work"].items
    assert mine.text.startswith("Due: 1 request, the first by ")
    assert mine.link.endswith("?shown=due&assigned=me")


def test_new_rule_and_holiday_change_what_is_received_from_then_on(env: AdminEnvironment) -> None:
    before, browser = env.subject_request(), env.log_in("olivia")
    regime = before.regime
    day = database_now().date()
    rule = {"regime": regime.pk, "type": "", "effective_from": str(day), "answer_within": "3", "answer_unit": "days"}
    rule |= {"acknowledge_unit": "days", "extend_unit": "days", "source": "a new law"}
    browser.post(reverse("admin:requests_regimerule_add"), rule)
    after = env.subject_request("erasure")
    assert after.due_at < before.due_at
    assert after.rule.source == "a new law"
    changed = browser.post(reverse("admin:requests_regimerule_change", args=[before.rule.pk]), rule)
    assert changed.status_code in (302, 403)
    before.rule.refresh_from_db()
    assert before.rule.answer_unit == "months"


def test_contact_is_put_on_record_and_a_code_is_sent(env: AdminEnvironment) -> None:
    request, browser = env.subject_request(attested=False), env.log_in("olivia")
    services.send_codes()
    browser.post(page_of(request, "contact"), {"kind": "email", "address": "ann@example.org"})
    assert services.send_codes() == 1
    wrong = browser.post(page_of(request, "contact"), {"kind": "email", "address": "ann"})
    assert "no e-mail address" in text_of(wrong)
    services.record_contact("C1", "email", "other@example.org", SHOP)
    assert "ann@example.org" not in text_of(browser.get(page_of(request)))
