"""Dead letters on their pages."""

from datetime import UTC, datetime, timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from featurestore.ingest import admin, services
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from tests.admin.shop import Shop
from tests.ingest.quarantine import order

LIST = "admin:ingest_deadletter_changelist"


def page_of(dead_letter: DeadLetter, what: str = "change") -> str:
    return reverse(f"admin:ingest_deadletter_{what}", args=[dead_letter.pk])


def select(browser: Client, action: str, *dead_letters: DeadLetter, query: str = "", **told: str) -> HttpResponse:
    chosen = {"action": action, "_selected_action": [dead_letter.pk for dead_letter in dead_letters], **told}
    return browser.post(reverse(LIST) + query, chosen, follow=True)  # type: ignore[return-value]


def said(page: HttpResponse) -> str:
    return page.content.decode()


def test_waiting_letters_come_first_and_are_counted_by_reason(shop: Shop) -> None:
    old, other, _ = shop.dead_letter(), shop.dead_letter(reason="misplaced"), shop.dead_letter(reason="misplaced")
    services.discard([other.pk], actor="petra", reason="a test")
    page = shop.browse("petra").get(reverse(LIST))
    assert [dead_letter.state for dead_letter in page.context["cl"].result_list] == ["open", "open", "discarded"]
    groups = [(group.topic, group.reason, group.dead_letters) for group in page.context["groups"]]
    assert groups == [(old.topic, "invalid", 1), (old.topic, "misplaced", 1)]
    wanted = {"?state__exact=open": 2, "?reason=misplaced": 2, f"?topic={old.topic}": 3, "?topic=x": 0}
    for query, number in wanted.items():
        assert shop.browse("petra").get(reverse(LIST) + query).context["cl"].result_count == number, query


def test_one_letter_is_seen_without_what_is_personal(shop: Shop) -> None:
    dead_letter = shop.dead_letter(value=order(7).replace(b'"sku":"LAMP"', b'"sku":"LAMP","email":"ann@example.org"'))
    page = said(shop.browse("petra").get(page_of(dead_letter)))
    assert "data.amount" in page
    assert "49.90" in page
    assert "masked: personal" in page
    assert "O7" not in page
    assert "ann@" not in page
    assert dead_letter.sha256 in page


def test_an_officer_sees_whose_it_is_and_decides_nothing(shop: Shop) -> None:
    dead_letter, olivia = shop.dead_letter(), shop.browse("olivia")
    assert "C42" in said(olivia.get(page_of(dead_letter)))
    assert olivia.get(reverse(LIST), {"q": "C42"}).context["cl"].result_count == 1
    for what in ("replay", "discard"):
        assert page_of(dead_letter, what) not in said(olivia.get(page_of(dead_letter)))
        assert olivia.post(page_of(dead_letter, what), {"reason": "x"}).status_code == 403
        select(olivia, f"{what}_selected", dead_letter, confirmed="yes", reason="x")
    dead_letter.refresh_from_db()
    assert dead_letter.state == "open"


@pytest.mark.parametrize("what", ["replay", "discard", "look"])
def test_a_chat_engineer_has_no_letters(shop: Shop, what: str) -> None:
    dead_letter, chris = shop.dead_letter(), shop.browse("chris")
    address = reverse("admin:ingest_deadletter_look_now") if what == "look" else page_of(dead_letter, what)
    assert chris.post(address, {"reason": "x"}).status_code == 403


def test_a_replay_is_asked_about_and_done_once(shop: Shop) -> None:
    dead_letter, petra = shop.dead_letter(value=order()), shop.browse("petra")
    assert "byte for byte" in said(petra.get(page_of(dead_letter, "replay")))
    assert shop.dead_letters.sent == []
    assert "Replayed: 1 letter on the way" in said(petra.post(page_of(dead_letter, "replay"), follow=True))
    assert [replay.value for replay in shop.dead_letters.sent] == [order()]
    dead_letter.refresh_from_db()
    assert (dead_letter.state, dead_letter.decided_by) == ("replayed", "petra")
    assert petra.post(page_of(dead_letter, "replay")).status_code == 403
    assert petra.post(page_of(dead_letter, "discard"), {"reason": "x"}).status_code == 403


def test_a_letter_that_no_replay_can_help_has_no_such_button(shop: Shop) -> None:
    dead_letter, petra = shop.dead_letter(), shop.browse("petra")
    DeadLetter.objects.update(subject="")
    page = said(petra.get(page_of(dead_letter)))
    assert "Its key is no subject" in page
    assert page_of(dead_letter, "replay") not in page
    assert page_of(dead_letter, "discard") in page
    assert petra.post(page_of(dead_letter, "replay")).status_code == 403


def test_a_discard_needs_a_reason(shop: Shop) -> None:
    dead_letter, petra = shop.dead_letter(), shop.browse("petra")
    for reason in ("", "   ", "x" * 501):
        assert petra.post(page_of(dead_letter, "discard"), {"reason": reason}).context["form"].errors
    assert "Discarded: 1 letter." in said(
        petra.post(page_of(dead_letter, "discard"), {"reason": "A test"}, follow=True)
    )
    assert "A test" in said(petra.get(page_of(dead_letter)))


def test_selected_letters_are_decided_together_when_that_is_confirmed(shop: Shop) -> None:
    first, second, third = (shop.dead_letter(value=order(number)) for number in range(3))
    petra = shop.browse("petra")
    asked = said(select(petra, "replay_selected", first, second))
    assert "Replay 2 letters" in asked
    assert shop.dead_letters.sent == []
    assert "Replayed: 2 letters" in said(select(petra, "replay_selected", first, second, confirmed="yes"))
    assert len(shop.dead_letters.sent) == 2
    assert select(petra, "discard_selected", third, confirmed="yes", reason="").context["form"].errors
    page = said(select(petra, "discard_selected", first, third, confirmed="yes", reason="A test"))
    assert "Discarded: 1 letter." in page
    assert "1 letter left alone. petra has replayed it" in page


def test_all_of_a_filter_means_those_that_were_shown(shop: Shop) -> None:
    shown, petra = shop.dead_letter(), shop.browse("petra")
    asked = select(petra, "discard_selected", shown, query="?reason=invalid", select_across="1")
    later = shop.dead_letter()
    form = asked.context["form"]
    chosen = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items() if name != "reason"}
    petra.post(reverse(LIST) + "?reason=invalid", chosen | {"reason": "A test"})
    assert [DeadLetter.objects.get(pk=dead_letter.pk).state for dead_letter in (shown, later)] == ["discarded", "open"]


def test_too_many_at_once_are_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "AT_ONCE", 1)
    assert "At most 1 at once" in said(
        select(shop.browse("petra"), "replay_selected", shop.dead_letter(), shop.dead_letter())
    )


def test_kafka_away_is_said_on_every_page(shop: Shop) -> None:
    dead_letter, petra = shop.dead_letter(value=order()), shop.browse("petra")
    shop.dead_letters.available = False
    assert "does not answer" in said(petra.get(page_of(dead_letter)))
    assert "does not answer" in said(petra.post(page_of(dead_letter, "replay"), follow=True))
    assert "does not answer" in said(petra.get(reverse("admin:ingest_deadletter_look_now"), follow=True))
    dead_letter.refresh_from_db()
    assert dead_letter.state == "open"


def test_the_overview_and_the_list_say_when_nobody_reads_letters(shop: Shop) -> None:
    petra = shop.browse("petra")

    def figure() -> tuple[str, str, bool | None]:
        figures = {figure.name: figure for figure in petra.get(reverse("admin:index")).context["figures"]}
        return figures["Dead letters"].value, figures["Dead letters"].words, figures["Dead letters"].good

    assert figure() == ("0", "No record waits; not read from Kafka lately", False)
    assert "Are Celery's worker and beat running?" in said(petra.get(reverse(LIST)))
    assert "Read to the last letter." in said(petra.get(reverse("admin:ingest_deadletter_look_now"), follow=True))
    assert figure() == ("0", "No record waits", True)
    shop.dead_letter()
    value, words, good = figure()
    assert (value, good) == ("1", False)
    assert words.startswith("The oldest waits for 2:00:0")
    DeadLetterPosition.objects.update(read_at=datetime.now(UTC) - timedelta(minutes=6))
    assert "not read from Kafka lately" in figure()[1]
