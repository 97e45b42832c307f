"""A request's page says what is next, and how far its export and its erasure are; the queue's links and numbers."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from adminsite import time_zone
from featurestore.config import settings
from featurestore.locations import registry
from featurestore.requests import services
from featurestore.requests.admin.due import due_text
from featurestore.requests.admin.next_step import NextStep
from featurestore.requests.answer_texts import ANSWERS
from featurestore.requests.due_dates import last_day
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.states import ExportState
from featurestore.requests.message_texts import text_of as message_of
from featurestore.requests.models import CustomerMessage, Language, RequestType, SubjectRequest
from featurestore.requests.services.timeline import append_event
from featurestore.requests.states import ERASING_EVENT
from tests.admin.environment import AdminEnvironment, text_of
from tests.admin.test_requests import QUEUE, actions, move, page_of
from tests.kit.erasures import MemoryLocation
from tests.kit.requests import OLIVIA, SHOP, seed_regimes


def step_of(browser: Client, request: SubjectRequest) -> NextStep:
    return browser.get(page_of(request)).context["next_step"]


def titles(step: NextStep) -> list[str]:
    return [button.title for button in step.buttons]


def test_next_step_follows_the_state(env: AdminEnvironment) -> None:
    browser = env.log_in("olivia")
    request = env.subject_request("restriction", attested=False)
    assert titles(step_of(browser, request)) == ["Verify"]
    services.verify_by_hand(request.reference, OLIVIA, "called back")
    step = step_of(browser, request)
    assert titles(step) == ["Answer"]
    assert "carries out" in step.text
    services.wait_for_customer(request.reference, OLIVIA, "which one?")
    assert titles(step_of(browser, request)) == ["Continue"]
    services.continue_work(request.reference, OLIVIA)
    services.answer(request.reference, OLIVIA, "Done.", "paused")
    assert titles(step_of(browser, request)) == ["Close"]
    services.close(request.reference, OLIVIA)
    assert step_of(browser, request) == NextStep("Nothing is left to do.", [])


def test_every_state_has_a_next_step(env: AdminEnvironment) -> None:
    request, browser = env.subject_request(), env.log_in("root")
    fields = {"ground": "excessive", "duplicate_of": env.subject_request("erasure"), "proposed_by": "anton"}
    for state, _ in SubjectRequest._meta.get_field("state").choices:
        SubjectRequest.objects.filter(pk=request.pk).update(state=state, **fields)
        assert step_of(browser, request).text.endswith("."), state


def test_next_step_of_an_export_leads_from_the_start_to_the_answer(env: AdminEnvironment) -> None:
    request, browser = env.subject_request("access", "C1"), env.log_in("olivia")
    (button,) = step_of(browser, request).buttons
    assert button.title == "Export the data"
    assert request.reference in text_of(browser.get(button.address))
    browser.post(button.address)
    export = DataExport.objects.get(request=request)
    page = browser.get(page_of(request))
    assert "Export " in text_of(page)
    assert titles(page.context["next_step"]) == ["Open the export"]
    for state, title in ((ExportState.IN_REVIEW, "Review the export"), (ExportState.RELEASED, "Answer")):
        DataExport.objects.filter(pk=export.pk).update(state=state)
        assert titles(step_of(browser, request)) == [title]
    form = browser.get(page_of(request, "answer")).context["form"]
    assert "two separate messages" in form["text"].value()
    DataExport.objects.filter(pk=export.pk).update(state=ExportState.EXPIRED)
    assert titles(step_of(browser, request)) == ["Export the data"]
    assert not browser.get(page_of(request, "answer")).context["form"]["text"].value()


def test_page_of_an_export_in_work_loads_again_by_itself(env: AdminEnvironment) -> None:
    export, browser = env.export(state="collecting"), env.log_in("olivia")
    page = reverse("admin:exports_dataexport_change", args=[export.pk])
    assert browser.get(page)["Refresh"] == "5"
    now = datetime.now(UTC)
    waiting = {"waiting_for": "Letters", "waiting_since": now, "problem": "the server does not answer"}
    DataExport.objects.filter(pk=export.pk).update(**waiting)
    answer = browser.get(page)
    assert "Refresh" not in answer
    assert "It waits for Letters, since " in text_of(answer)
    assert "the server does not answer" in text_of(browser.get(page_of(export.request)))


def test_erasure_is_started_from_the_requests_page(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_locations", {"store": MemoryLocation("store")})
    request, browser = env.subject_request("erasure"), env.log_in("olivia")
    (button,) = step_of(browser, request).buttons
    form = text_of(browser.get(button.address))
    assert f"Enter {request.reference} to confirm" in form
    assert "C42" in form
    browser.post(button.address, {"reference": request.reference, "again": "R-2222-2222"})
    assert not Erasure.objects.exists()
    started = browser.post(button.address, {"reference": request.reference, "again": request.reference.lower()})
    assert started.headers["Location"] == page_of(request)
    page = browser.get(page_of(request))
    assert titles(page.context["next_step"]) == []
    assert "Location store" in text_of(page)


def test_request_shows_its_erasure_location_by_location_with_what_waits_and_why(env: AdminEnvironment) -> None:
    erasure, browser = env.erasure(), env.log_in("olivia")
    page = browser.get(page_of(erasure.request))
    shown = text_of(page)
    for text in ("place0", "Unavailable, tried again", "the store does not answer", "1 kept by a legal hold"):
        assert text in shown
    assert page.context["next_step"].text == "It waits for place0, and tries again by itself."
    assert [one.state for one in page.context["progress"].locations] == ["unavailable", "held", "checked"]
    erasure.steps.filter(state="unavailable").update(state="waits", gone_at=datetime(2026, 12, 24, 9, tzinfo=UTC))
    Erasure.objects.filter(pk=erasure.pk).update(state="answered", answered_at=erasure.started_at)
    SubjectRequest.objects.filter(pk=erasure.request_id).update(state="answered")
    assert "legal hold of place1" in step_of(browser, erasure.request).text
    erasure.steps.filter(state="held").update(state="checked")
    assert "closes by itself after 24 Dec 2026, 09:00 UTC" in step_of(browser, erasure.request).text
    assert "1 erasure waits" not in text_of(browser.get(reverse("admin:index")))


def test_erasure_that_waits_for_a_server_is_among_your_work(env: AdminEnvironment) -> None:
    env.erasure()
    assert "1 erasure waits for a server" in text_of(env.log_in("olivia").get(reverse("admin:index")))


def test_who_may_start_nothing_is_told_who_does(env: AdminEnvironment) -> None:
    erasure, access = env.subject_request("erasure"), env.subject_request("access", "C1")
    for name in ("iris", "anton"):
        browser = env.log_in(name)
        for request in (erasure, access):
            step = step_of(browser, request)
            assert step.buttons == []
            assert "a privacy officer does it" in step.text
    started = env.erasure("R-2222-4444", "C1")
    assert env.log_in("iris").get(page_of(started.request)).context["progress"] is None
    assert env.log_in("anton").get(page_of(started.request)).context["progress"] is not None


def test_messages_are_links_only_for_who_may_see_them(env: AdminEnvironment) -> None:
    request = env.subject_request()
    link = reverse("admin:requests_customermessage_change", args=[request.messages.get().pk])
    for name, shown in {"olivia": True, "anton": True, "iris": False}.items():
        page = text_of(env.log_in(name).get(page_of(request)))
        assert "Acknowledgement" in page
        assert (link in page) is shown


def test_page_of_a_request_says_what_of_its_export_must_be_handed_over(env: AdminEnvironment) -> None:
    export, browser = env.export(state="released"), env.log_in("olivia")
    message = CustomerMessage.objects.create(
        request=export.request,
        kind="passphrase",
        state="by_hand",
        created_at=export.created_at,
        next_attempt_at=export.created_at,
    )
    step = step_of(browser, export.request)
    assert "Hand over yourself" in step.text
    assert titles(step) == ["Open the export", "Answer"]
    CustomerMessage.objects.filter(pk=message.pk).update(state="sent", sent_at=export.created_at)
    assert titles(step_of(browser, export.request)) == ["Answer"]


def test_cancelling_is_never_what_is_next(env: AdminEnvironment) -> None:
    export = env.export(state="collecting")
    page = env.log_in("olivia").get(reverse("admin:exports_dataexport_change", args=[export.pk]))
    assert page.context["primary"] == []
    assert [title for title, _ in page.context["dangerous"]] == ["Cancel the export"]


def test_due_day_is_that_of_the_regime_which_the_customer_is_told(env: AdminEnvironment) -> None:
    seed_regimes()
    intake = services.Intake("access", "lgpd", "api", "C42", attested=True)
    request = services.receive(intake, SHOP, datetime(2026, 11, 30, 12, tzinfo=UTC)).request
    assert request.due_at == datetime(2026, 12, 16, 3, tzinfo=UTC), "midnight in São Paulo"
    assert f"{last_day(request)}" == "2026-12-15"
    assert due_text(request, request.received_at)[1].startswith("15 Dec 2026, ")
    assert "15 Dec 2026" in message_of(request, "acknowledgement").body
    page = text_of(env.log_in("olivia").get(page_of(request)))
    assert "due 15 Dec 2026" in page
    assert "16 Dec" not in page


def test_times_are_shown_in_the_time_zone_of_the_installation(
    env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, browser = env.subject_request(), env.log_in("olivia")
    SubjectRequest.objects.filter(pk=request.pk).update(received_at=datetime(2026, 11, 30, 23, 30, tzinfo=UTC))
    assert "30 Nov 2026, 23:30:00 UTC" in text_of(browser.get(page_of(request)))
    berlin = settings().model_copy(update={"time_zone": "Europe/Berlin"})
    monkeypatch.setattr(time_zone, "settings", lambda: berlin)
    assert "1 Dec 2026, 00:30:00 CET" in text_of(browser.get(page_of(request)))
    listed = browser.get(QUEUE, {"received_at_from": "2026-12-01", "received_at_to": "2026-12-01"})
    assert [row.reference for row in listed.context["cl"].result_list] == [request.reference]


def test_links_of_the_queue_count_what_they_list(env: AdminEnvironment) -> None:
    overdue, soon = env.subject_request("erasure"), env.subject_request("portability")
    move(overdue, 40)
    move(soon, 28)
    env.subject_request("access", "C1", attested=False)
    services.wait_for_customer(env.subject_request("objection").reference, OLIVIA, "which one?")
    browser = env.log_in("olivia")
    for link in browser.get(QUEUE).context["links"]:
        listed = browser.get(link.address)
        found = [one.title for one in listed.context["links"] if one.chosen]
        assert found == [link.title]
        assert link.number in (None, len(listed.context["cl"].result_list)), link
    numbers = {link.title: link.number for link in browser.get(QUEUE).context["links"]}
    assert (numbers["To do"], numbers["Not verified"], numbers["Due soon"], numbers["Overdue"]) == (3, 1, 2, 1)


def test_approver_sees_what_waits_for_a_second_person(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    two = settings().model_copy(update={"exports_need_approval": True})
    monkeypatch.setattr("adminsite.work.settings", lambda: two)
    export = env.export(state="to_release")
    DataExport.objects.filter(pk=export.pk).update(proposed_by="olivia")
    assert "1 export to release" in text_of(env.log_in("anton").get(reverse("admin:index")))
    page = env.log_in("anton").get(reverse("admin:exports_dataexport_change", args=[export.pk]))
    assert "Another person releases the export" in text_of(page)
    assert "1 export to release" not in text_of(env.log_in("olivia").get(reverse("admin:index")))


def test_proposed_answers_exist_in_every_language() -> None:
    for type_, texts in ANSWERS.items():
        assert set(texts) == set(Language.values), type_
    assert set(ANSWERS) == set(RequestType.values) - {RequestType.ERASURE, RequestType.RECTIFICATION}


def test_proposed_answer_states_what_the_answer_carries_out(env: AdminEnvironment) -> None:
    request = env.subject_request("restriction", purposes=["service"], language="de")
    form = env.log_in("olivia").get(page_of(request, "answer")).context["form"]
    assert "eingeschränkt" in form["text"].value()
    assert form["done"].value() == "Pauses service"
    correct = env.subject_request("rectification")
    assert not env.log_in("olivia").get(page_of(correct, "answer")).context["form"]["text"].value()


def test_timeline_names_steps_of_an_export_and_only_changes_of_the_due_date(env: AdminEnvironment) -> None:
    request = env.export().request
    services.extend(request.reference, OLIVIA, "many sources", request.received_at + timedelta(seconds=1))
    page = env.log_in("olivia").get(page_of(request))
    assert "Export started" in text_of(page)
    assert [bool(line.due) for line in page.context["timeline"]].count(True) == 2


def test_request_whose_erasure_started_offers_nothing_that_would_be_refused(env: AdminEnvironment) -> None:
    before = env.subject_request("erasure")
    browser = env.log_in("olivia")
    assert {"refuse", "withdraw"} <= actions(browser.get(page_of(before)))
    assert not {"answer", "close"} & actions(browser.get(page_of(before)))
    append_event(before, ERASING_EVENT, OLIVIA)
    assert not {"answer", "close", "refuse", "withdraw"} & actions(browser.get(page_of(before)))
    assert browser.post(page_of(before, "withdraw"), {"reason": "by phone"}).status_code == 403


def test_message_to_be_sent_by_hand_says_what_to_do_until_it_is_sent(env: AdminEnvironment) -> None:
    request, browser = env.subject_request(), env.log_in("olivia")
    message = request.messages.get()
    page = reverse("admin:requests_customermessage_change", args=[message.pk])
    assert "record how" in text_of(browser.get(page))
    assert "record how" not in text_of(env.log_in("anton").get(page)), "who may not send is asked nothing"
    browser.post(reverse("admin:requests_customermessage_by_hand", args=[message.pk]), {"reason": "by post"})
    assert "record how" not in text_of(browser.get(page))


def test_queue_says_what_is_next_in_the_words_of_the_button(env: AdminEnvironment) -> None:
    browser = env.log_in("olivia")

    def check(request: SubjectRequest, words: str = "") -> None:
        step = step_of(browser, request)
        row = re.search(rf">{request.reference}<.*?</tr>", text_of(browser.get(f"{QUEUE}?shown=all")), re.DOTALL)
        assert row is not None
        assert (words or titles(step)[0]) in row[0]

    unverified = env.subject_request("restriction", "C1", attested=False)
    check(unverified, "Verify")
    services.verify_by_hand(unverified.reference, OLIVIA, "called back")
    check(unverified)
    services.wait_for_customer(unverified.reference, OLIVIA, "which one?")
    check(unverified, "The customer&#x27;s answer")
    services.continue_work(unverified.reference, OLIVIA)
    services.answer(unverified.reference, OLIVIA, "Done.", "paused")
    check(unverified)
    services.close(unverified.reference, OLIVIA)
    check(unverified, "–")
    check(env.subject_request("erasure", "C1"))
    check(env.subject_request("portability", "C1"))
    export = env.export()
    check(export.request)
    DataExport.objects.filter(pk=export.pk).update(state="collecting")
    check(export.request, "Goes on by itself")
    DataExport.objects.filter(pk=export.pk).update(state="released")
    check(export.request)
    erasure = env.erasure(customer_id="C421")
    check(erasure.request, "Waits for a server")
    erasure.steps.filter(state="unavailable").update(state="checked")
    check(erasure.request, "Goes on by itself")
    Erasure.objects.filter(pk=erasure.pk).update(state="answered", answered_at=erasure.started_at)
    SubjectRequest.objects.filter(pk=erasure.request_id).update(state="answered")
    check(erasure.request, "Release the hold")
