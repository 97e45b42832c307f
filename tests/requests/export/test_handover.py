"""Handover of a package: link and passphrase never take the same way, and no message or row has both."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.core import mail

from featurestore.requests import services as requests
from featurestore.requests.delivery import port
from featurestore.requests.delivery.outgoing import Outgoing
from featurestore.requests.errors import NotPossible
from featurestore.requests.export import services
from featurestore.requests.export.errors import LinkRefused
from featurestore.requests.export.expiry import end_overdue
from featurestore.requests.export.handover import handed_over
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.states import ExportState
from featurestore.requests.export.work import advance
from featurestore.requests.message_texts import PLACEHOLDER
from featurestore.requests.models import CustomerMessage
from featurestore.requests.services import messages
from tests.kit.exports import ExportEnvironment, is_readable, reloaded
from tests.kit.requests import NOON, OLIVIA, SHOP, day

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=2)
State = CustomerMessage.State


@pytest.fixture
def messenger(monkeypatch: pytest.MonkeyPatch) -> list[Outgoing]:
    """What the shop's webhook was handed: it is available."""
    sent: list[Outgoing] = []
    monkeypatch.setitem(port.WAYS, "webhook", port.Way(lambda: True, sent.append))
    return sent


def contact(kind: str, at: datetime = NOON) -> None:
    requests.record_contact("C1", kind, "ann@example.org" if kind == "email" else "messenger/ann", SHOP, at)


@pytest.fixture
def release(exports: ExportEnvironment) -> Callable[[], DataExport]:
    """A function that makes a package, and sends what is due."""

    def made() -> DataExport:
        export = exports.collected()
        services.release(export.pk, OLIVIA, now=NOON)
        advance(NOON)
        messages.deliver_due(NOON)
        return reloaded(export)

    return made


def by_kind(export: DataExport) -> dict[str, CustomerMessage]:
    return {one.message.kind: one.message for one in handed_over(export)}


def states(export: DataExport) -> dict[str, str]:
    return {kind: message.state for kind, message in by_kind(export).items()}


def test_link_is_sent_and_the_passphrase_is_for_staff_where_there_is_one_way(
    exports: ExportEnvironment, release: Callable[[], DataExport]
) -> None:
    contact("email")
    export = release()
    assert states(export) == {"export_link": State.SENT, "passphrase": State.BY_HAND}
    delivery = services.show_link(export.pk, OLIVIA, NOON)
    (sent,) = [one for one in mail.outbox if "link" in one.subject]
    assert f"http://localhost:8000/exports/{delivery.link}\n" in sent.body
    assert "7 Dec 2026" in sent.body
    assert not [one for one in mail.outbox if delivery.passphrase in one.body]
    assert services.take_try(delivery.link, NOON).export.pk == export.pk
    assert is_readable(exports.folder / f"{export.name}.zip", delivery.passphrase)
    assert "by telephone or letter" in handed_over(export)[1].text


@pytest.mark.parametrize("newest", ["email", "webhook"])
def test_link_and_passphrase_take_two_ways_where_there_are_two(
    messenger: list[Outgoing], release: Callable[[], DataExport], newest: str
) -> None:
    contact("webhook", day(-1) if newest == "email" else day(0))
    contact("email", day(-1) if newest == "webhook" else day(0))
    export = release()
    assert set(states(export).values()) == {State.SENT}
    found = by_kind(export)
    assert found["export_link"].contact.kind == newest  # type: ignore[union-attr]
    assert found["passphrase"].contact.kind != newest  # type: ignore[union-attr]
    delivery = services.show_link(export.pk, OLIVIA, NOON)
    texts = {"email": [one.body for one in mail.outbox], "webhook": [one.text for one in messenger]}
    with_link = {way for way, all_ in texts.items() if any(delivery.link in text for text in all_)}
    with_passphrase = {way for way, all_ in texts.items() if any(delivery.passphrase in text for text in all_)}
    assert with_link == {newest}
    assert with_passphrase == {"email", "webhook"} - {newest}


def test_without_a_contact_staff_hand_both_over(release: Callable[[], DataExport]) -> None:
    export = release()
    assert set(states(export).values()) == {State.BY_HAND}
    assert all(one.by_hand for one in handed_over(export))
    messages.mark_sent_by_hand(by_kind(export)["passphrase"], OLIVIA, "by telephone", NOON)
    assert states(export) == {"export_link": State.BY_HAND, "passphrase": State.SENT}
    assert handed_over(export)[1].text == "Sent, 30 Nov 2026, 12:00 UTC: by hand."


def test_stored_messages_hold_no_secret(release: Callable[[], DataExport]) -> None:
    contact("email")
    export = release()
    delivery = services.show_link(export.pk, OLIVIA, NOON)
    for message in by_kind(export).values():
        text = str(messages.read_text(message))
        assert PLACEHOLDER in text
        assert delivery.link not in text
        assert delivery.passphrase not in text
    details = str(list(export.request.events.values_list("reason", "detail")))
    assert delivery.link not in details
    assert delivery.passphrase not in details


def test_passphrase_is_sent_again_only_by_another_way_than_the_link(
    messenger: list[Outgoing], release: Callable[[], DataExport]
) -> None:
    contact("email")
    export = release()
    passphrase = by_kind(export)["passphrase"]
    with pytest.raises(NotPossible, match="by another way"):
        messages.send_again(passphrase, NOON)
    contact("webhook", day(1))
    messages.send_again(passphrase, day(1))
    messages.deliver_due(day(1))
    assert services.show_link(export.pk, OLIVIA, day(1)).passphrase in messenger[-1].text


def test_nothing_is_sent_of_an_export_that_has_ended(exports: ExportEnvironment) -> None:
    contact("email")
    export = exports.collected()
    services.release(export.pk, OLIVIA, now=NOON)
    advance(NOON)
    link = by_kind(export)["export_link"]
    services.cancel(export.pk, OLIVIA, "the wrong customer", NOON)
    assert set(states(export).values()) == {State.CANCELLED}
    CustomerMessage.objects.filter(pk=link.pk).update(state=State.QUEUED)  # as if a process had just reserved it
    messages.deliver_due(NOON)
    assert states(export)["export_link"] == State.CANCELLED
    assert not [one for one in mail.outbox if "link" in one.subject]


def test_customer_who_downloads_first_still_gets_the_passphrase(
    exports: ExportEnvironment, release: Callable[[], DataExport]
) -> None:
    contact("email")
    export = release()
    delivery = services.show_link(export.pk, OLIVIA, NOON)
    services.take_try(delivery.link, NOON).file.close()
    services.delivered(export.pk, NOON)
    end_overdue(LATER)
    assert exports.files() == []
    with pytest.raises(LinkRefused):
        services.take_try(delivery.link, LATER)
    left = services.show_link(export.pk, OLIVIA, LATER)
    assert (left.link, left.passphrase) == ("", delivery.passphrase)
    messages.mark_sent_by_hand(by_kind(export)["passphrase"], OLIVIA, "by letter", LATER)
    end_overdue(LATER)
    assert reloaded(export).encrypted_passphrase == ""


def test_passphrase_is_kept_no_longer_than_the_link_could_have_been_used(release: Callable[[], DataExport]) -> None:
    contact("email")
    export = release()
    services.delivered(export.pk, NOON)
    end_overdue(LATER)
    assert reloaded(export).encrypted_passphrase
    end_overdue(day(7))
    assert reloaded(export).encrypted_passphrase == ""
    assert states(export)["passphrase"] == State.CANCELLED


def test_expired_export_leaves_no_message_to_send(release: Callable[[], DataExport]) -> None:
    export = release()
    end_overdue(day(7))
    assert reloaded(export).state == ExportState.EXPIRED
    assert set(states(export).values()) == {State.CANCELLED}
    assert "message" not in {one.kind for one in export.request.events.all()}


def test_second_export_of_a_request_has_messages_of_its_own(
    exports: ExportEnvironment, release: Callable[[], DataExport]
) -> None:
    first = release()
    services.cancel(first.pk, OLIVIA, "something was missing", NOON)
    second = services.start(first.request.reference, OLIVIA, NOON)
    advance(NOON)
    services.release(second.pk, OLIVIA, now=NOON)
    advance(NOON)
    assert set(states(first).values()) == {State.CANCELLED}
    assert set(states(second).values()) == {State.BY_HAND}
    assert {one.message.number for one in handed_over(second)} == {1}
