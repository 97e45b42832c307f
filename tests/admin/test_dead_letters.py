"""Admin pages of dead letters."""

from datetime import UTC, datetime, timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from featurestore.ingest import admin, services
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from tests.admin.environment import AdminEnvironment, text_of
from tests.kit.orders import order

LIST = "admin:ingest_deadletter_changelist"


def page_of(dead_letter: DeadLetter, what: str = "change") -> str:
    return reverse(f"admin:ingest_deadletter_{what}", args=[dead_letter.pk])


def select(browser: Client, action: str, *dead_letters: DeadLetter, query: str = "", **fields: str) -> HttpResponse:
    chosen = {"action": action, "_selected_action": [dead_letter.pk for dead_letter in dead_letters], **fields}
    return browser.post(reverse(LIST) + query, chosen, follow=True)  # type: ignore[return-value]


def test_waiting_dead_letters_come_first_and_are_counted_by_reason(env: AdminEnvironment) -> None:
    old, other, _ = env.dead_letter(), env.dead_letter(reason="misplaced"), env.dead_letter(reason="misplaced")
    services.discard([other.pk], actor="petra", reason="a test")
    page = env.log_in("petra").get(reverse(LIST))
    assert [dead_letter.state for dead_letter in page.context["cl"].result_list] == ["open", "open", "discarded"]
    groups = [(group.topic, group.reason, group.size) for group in page.context["groups"]]
    assert groups == [(old.topic, "invalid", 1), (old.topic, "misplaced", 1)]
    wanted = {"?state__exact=open": 2, "?reason=misplaced": 2, f"?topic={old.topic}": 3, "?topic=x": 0}
    for query, number in wanted.items():
        assert env.log_in("petra").get(reverse(LIST) + query).context["cl"].result_count == number, query


def test_dead_letter_page_masks_personal_fields(env: AdminEnvironment) -> None:
    dead_letter = env.dead_letter(value=order(7).replace(b'"sku":"LAMP"', b'"sku":"LAMP","email":"ann@example.org"'))
    page = text_of(env.log_in("petra").get(page_of(dead_letter)))
    assert "data.amount" in page
    assert "49.90" in page
    assert "masked: personal" in page
    assert "O7" not in page
    assert "ann@" not in page
    assert dead_letter.sha256 in page


def test_officer_sees_the_customer_and_can_not_decide(env: AdminEnvironment) -> None:
    dead_letter, olivia = env.dead_letter(), env.log_in("olivia")
    assert "C42" in text_of(olivia.get(page_of(dead_letter)))
    assert olivia.get(reverse(LIST), {"q": "C42"}).context["cl"].result_count == 1
    for what in ("replay", "discard"):
        assert page_of(dead_letter, what) not in text_of(olivia.get(page_of(dead_letter)))
        assert olivia.post(page_of(dead_letter, what), {"reason": "x"}).status_code == 403
        select(olivia, f"{what}_selected", dead_letter, confirmed="yes", reason="x")
    dead_letter.refresh_from_db()
    assert dead_letter.state == "open"


@pytest.mark.parametrize("what", ["replay", "discard", "read"])
def test_chat_engineer_can_not_decide_dead_letters(env: AdminEnvironment, what: str) -> None:
    dead_letter, chris = env.dead_letter(), env.log_in("chris")
    address = reverse("admin:ingest_deadletter_read_now") if what == "read" else page_of(dead_letter, what)
    assert chris.post(address, {"reason": "x"}).status_code == 403


def test_replay_is_confirmed_and_done_once(env: AdminEnvironment) -> None:
    dead_letter, petra = env.dead_letter(value=order()), env.log_in("petra")
    assert "byte for byte" in text_of(petra.get(page_of(dead_letter, "replay")))
    assert env.dead_letters.sent == []
    assert "Replayed: 1 dead letter sent to the streams" in text_of(
        petra.post(page_of(dead_letter, "replay"), follow=True)
    )
    assert [replay.value for replay in env.dead_letters.sent] == [order()]
    dead_letter.refresh_from_db()
    assert (dead_letter.state, dead_letter.decided_by) == ("replayed", "petra")
    assert petra.post(page_of(dead_letter, "replay")).status_code == 403
    assert petra.post(page_of(dead_letter, "discard"), {"reason": "x"}).status_code == 403


def test_replay_is_not_offered_where_it_would_fail_again(env: AdminEnvironment) -> None:
    dead_letter, petra = env.dead_letter(), env.log_in("petra")
    DeadLetter.objects.update(subject="")
    page = text_of(petra.get(page_of(dead_letter)))
    assert "Its key is no subject" in page
    assert page_of(dead_letter, "replay") not in page
    assert page_of(dead_letter, "discard") in page
    assert petra.post(page_of(dead_letter, "replay")).status_code == 403


def test_discard_needs_a_reason(env: AdminEnvironment) -> None:
    dead_letter, petra = env.dead_letter(), env.log_in("petra")
    for reason in ("", "   ", "x" * 501):
        assert petra.post(page_of(dead_letter, "discard"), {"reason": reason}).context["form"].errors
    assert "Discarded: 1 dead letter." in text_of(
        petra.post(page_of(dead_letter, "discard"), {"reason": "A test"}, follow=True)
    )
    assert "A test" in text_of(petra.get(page_of(dead_letter)))


def test_selected_dead_letters_are_decided_after_confirmation(env: AdminEnvironment) -> None:
    first, second, third = (env.dead_letter(value=order(number)) for number in range(3))
    petra = env.log_in("petra")
    question = text_of(select(petra, "replay_selected", first, second))
    assert "Replay 2 dead letters" in question
    assert env.dead_letters.sent == []
    assert "Replayed: 2 dead letters" in text_of(select(petra, "replay_selected", first, second, confirmed="yes"))
    assert len(env.dead_letters.sent) == 2
    assert select(petra, "discard_selected", third, confirmed="yes", reason="").context["form"].errors
    page = text_of(select(petra, "discard_selected", first, third, confirmed="yes", reason="A test"))
    assert "Discarded: 1 dead letter." in page
    assert "1 dead letter not changed. petra replayed it" in page


def test_select_all_decides_only_those_shown(env: AdminEnvironment) -> None:
    shown, petra = env.dead_letter(), env.log_in("petra")
    asked = select(petra, "discard_selected", shown, query="?reason=invalid", select_across="1")
    later = env.dead_letter()
    form = asked.context["form"]
    chosen = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items() if name != "reason"}
    petra.post(reverse(LIST) + "?reason=invalid", chosen | {"reason": "A test"})
    assert [DeadLetter.objects.get(pk=dead_letter.pk).state for dead_letter in (shown, later)] == ["discarded", "open"]


def test_selection_over_the_limit_is_refused(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "MAX_SELECTED", 1)
    assert "At most 1 at once" in text_of(
        select(env.log_in("petra"), "replay_selected", env.dead_letter(), env.dead_letter())
    )


def test_unavailable_kafka_is_reported_on_every_page(env: AdminEnvironment) -> None:
    dead_letter, petra = env.dead_letter(value=order()), env.log_in("petra")
    env.dead_letters.available = False
    assert "does not answer" in text_of(petra.get(page_of(dead_letter)))
    assert "does not answer" in text_of(petra.post(page_of(dead_letter, "replay"), follow=True))
    assert "does not answer" in text_of(petra.get(reverse("admin:ingest_deadletter_read_now"), follow=True))
    dead_letter.refresh_from_db()
    assert dead_letter.state == "open"


def test_overview_and_list_report_a_stale_import(env: AdminEnvironment) -> None:
    petra = env.log_in("petra")

    def figure() -> tuple[str, str, bool | None]:
        figures = {figure.name: figure for figure in petra.get(reverse("admin:index")).context["figures"]}
        return figures["Dead letters"].value, figures["Dead letters"].description, figures["Dead letters"].good

    assert figure() == ("–", "Not read from Kafka in the last 5 minutes", False)
    assert "Are the Celery worker and beat running?" in text_of(petra.get(reverse(LIST)))
    assert "Every dead letter is read." in text_of(petra.get(reverse("admin:ingest_deadletter_read_now"), follow=True))
    assert figure() == ("0", "None waits for a decision", True)
    env.dead_letter()
    value, description, good = figure()
    assert (value, good) == ("1", False)
    assert description.startswith("The oldest waits for 2:00:0")
    DeadLetterPosition.objects.update(read_at=datetime.now(UTC) - timedelta(minutes=6))
    assert "Not read from Kafka in the last 5 minutes" in figure()[1]
