"""Messages to customers: one row each, in the customer's language, tried again after a failure, never lost."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from itertools import product

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError

from featurestore.config import settings
from featurestore.requests import services
from featurestore.requests.delivery import email, webhook
from featurestore.requests.delivery.outgoing import DeliveryFailed, Outgoing
from featurestore.requests.errors import NoReason, NotPossible
from featurestore.requests.message_texts import PLACEHOLDER, text_of
from featurestore.requests.models import CustomerMessage, Language, RequestType, SubjectRequest
from featurestore.requests.services import messages
from featurestore.requests.services.messages import GIVE_UP_AFTER
from featurestore.signed_webhooks import webhook_problem
from tests.kit.requests import NOON, OLIVIA, SHOP, RequestsEnvironment, day

FACTS = {"reason": 'Because <of> "this" & that.', "answer": "Here < it > is.", "code_url": "https://shop.example.org/c"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """A function that breaks the mail server, or repairs it."""
    sent = EmailBackend.send_messages

    def refuse(*_: object) -> None:
        raise ConnectionRefusedError("ann@example.org is no good")

    return lambda broken: monkeypatch.setattr(EmailBackend, "send_messages", refuse if broken else sent)


def with_contact(env: RequestsEnvironment, language: str = "en") -> SubjectRequest:
    services.record_contact("C1", "email", "ann@example.org", SHOP, NOON)
    return env.verified(language=language)


@pytest.mark.parametrize(("kind", "language"), list(product(CustomerMessage.Kind.values, Language.values)))
def test_every_kind_has_a_text_in_every_language(env: RequestsEnvironment, kind: str, language: str) -> None:
    request = env.receive(language=language)
    for type_, ground in zip(RequestType.values, SubjectRequest.Ground.values, strict=False):
        request.type, request.ground = type_, ground
        text = text_of(request, kind, **FACTS)
        assert request.reference in text.subject
        assert "\n" not in text.subject
        assert not {"{", "}", "&"} & set(str(text).replace(FACTS["reason"], ""))
        assert settings().organisation in text.body
    dates = {"en": "2026", "de": "30. November 2026", "es": "30 de noviembre de 2026"}
    assert dates[language] in text.body
    expected = {"extension": FACTS["reason"], "refusal": FACTS["reason"], "answer": FACTS["answer"]}
    assert expected.get(kind, "") in text.body
    assert (PLACEHOLDER in text.body) == (kind in {"code", "export_link", "passphrase"})


def test_texts_of_a_kind_differ_by_type_and_ground(env: RequestsEnvironment) -> None:
    request = env.receive(language="de")
    for field, values in (("type", RequestType.values), ("ground", SubjectRequest.Ground.values)):
        found = set()
        for value in values:
            setattr(request, field, value)
            found.add(str(text_of(request, "refusal", **FACTS)))
        assert len(found) == len(values), field


def test_a_request_tells_its_customer_in_their_language(env: RequestsEnvironment) -> None:
    request = with_contact(env, "es")
    services.extend(request.reference, OLIVIA, "hay muchas fuentes", day(1))
    services.answer(request.reference, OLIVIA, "Aquí está.", "sent by post", day(2))
    assert messages.deliver_due(day(2)).sent == 3
    assert [message.subject for message in mail.outbox] == [
        f"Hemos recibido su solicitud {request.reference}",
        f"Su solicitud {request.reference} necesita más tiempo",
        f"La respuesta a su solicitud {request.reference}",
    ]
    assert "1 de marzo de 2027" in mail.outbox[1].body
    assert mail.outbox[0].extra_headers["Content-Language"] == "es"
    request.refresh_from_db()
    assert request.acknowledged_at == day(2)
    sent = request.events.filter(kind="message_sent")
    assert [event.detail["message"] for event in sent] == ["acknowledgement", "extension", "answer"]
    assert messages.deliver_due(day(3)).sent == 0


def test_refused_customer_reads_ground_reason_and_where_to_complain(env: RequestsEnvironment) -> None:
    request = with_contact(env)
    services.refuse(request.reference, OLIVIA, "excessive", "It is the tenth this week.", day(1))
    messages.deliver_due(day(1))
    body = mail.outbox[-1].body
    for text in ("excessive", "It is the tenth this week.", "complaint", "court"):
        assert text in body


def test_texts_and_addresses_are_stored_encrypted(env: RequestsEnvironment) -> None:
    request = with_contact(env)
    services.answer(request.reference, OLIVIA, "Your lamp was blue.", "sent by post", day(1))
    assert "lamp" not in str(CustomerMessage.objects.values_list())
    assert "lamp" in messages.read_text(CustomerMessage.objects.get(kind="answer")).body


def test_one_row_for_each_message(env: RequestsEnvironment) -> None:
    message = CustomerMessage.objects.get(request=with_contact(env))
    message.pk = None
    with pytest.raises(IntegrityError):
        message.save()


def test_message_that_fails_is_tried_again_and_its_error_names_no_address(
    env: RequestsEnvironment, broken: Callable[[bool], None]
) -> None:
    with_contact(env)
    broken(True)
    assert messages.deliver_due(NOON).failed == 1
    assert messages.deliver_due(NOON).failed == 0, "not yet"
    found = CustomerMessage.objects.get()
    assert (found.state, found.attempts) == ("queued", 1)
    assert found.last_error == "The mail server did not take it: ConnectionRefusedError."
    broken(False)
    assert messages.deliver_due(found.next_attempt_at).sent == 1


def test_message_is_given_up_after_two_days_and_staff_send_it(
    env: RequestsEnvironment, broken: Callable[[bool], None]
) -> None:
    request = with_contact(env)
    broken(True)
    assert messages.deliver_due(NOON + GIVE_UP_AFTER).given_up == 1
    found = CustomerMessage.objects.get()
    assert (found.state, request.events.last().kind) == ("failed", "message_failed")
    with pytest.raises(NoReason):
        messages.mark_sent_by_hand(found, OLIVIA, " ", day(4))
    messages.send_again(found, day(4))
    messages.deliver_due(day(4))
    messages.deliver_due(day(4) + GIVE_UP_AFTER)
    messages.mark_sent_by_hand(found, OLIVIA, "by post", day(7))
    found.refresh_from_db()
    request.refresh_from_db()
    assert (found.state, found.sent_at, request.acknowledged_at) == ("sent", day(7), day(7))
    with pytest.raises(NotPossible, match="sent"):
        messages.send_again(found, day(8))


def test_code_that_could_not_be_sent_counts_for_nothing(
    env: RequestsEnvironment, broken: Callable[[bool], None]
) -> None:
    services.record_contact("C1", "email", "ann@example.org", SHOP, NOON)
    request = env.receive()
    services.send_codes(NOON)
    broken(True)
    for hour in range(8):
        assert messages.deliver_due(NOON + timedelta(hours=hour)).failed == 1
    assert not request.codes.exists()
    broken(False)
    assert messages.deliver_due(NOON + timedelta(hours=9)).sent == 1


def test_customer_without_a_contact_is_written_to_by_hand(env: RequestsEnvironment) -> None:
    request = env.verified()
    message = request.messages.get()
    assert (message.state, message.contact) == ("by_hand", None)
    with pytest.raises(NotPossible, match="no contact"):
        messages.send_again(message, NOON)
    services.record_contact("C1", "email", "ann@example.org", SHOP, NOON)
    messages.send_again(message, NOON)
    assert messages.deliver_due(NOON).sent == 1


def test_production_without_a_mail_server_sends_no_email(
    env: RequestsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = settings().model_copy(update={"environment": "production"})
    monkeypatch.setattr(email, "settings", lambda: production)
    assert with_contact(env).messages.get().state == "by_hand"


def test_line_breaks_in_an_address_add_no_header() -> None:
    outgoing = Outgoing("i", "R-AAAA-AAAA", "answer", "en", "ann@example.org\nBcc: all@example.org", "Subject", "Text")
    with pytest.raises(DeliveryFailed):
        email.send(outgoing)
    assert mail.outbox == []


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = settings().model_copy(
        update={"message_webhook_url": "https://shop.example.org/hook", "message_webhook_secret": SECRET}
    )
    monkeypatch.setattr(webhook, "settings", lambda: conf)


OUTGOING = Outgoing("R-AAAA-AAAA.code.0", "R-AAAA-AAAA", "code", "de", "+49 30", "Ihr Code", "12345678")


def test_webhook_is_signed_as_standard_webhooks_says(hook: None) -> None:
    posted = []
    webhook.send(OUTGOING, lambda *call: posted.append(call) or 204, lambda: 1_731_705_121.9)
    ((url, body, headers),) = posted
    assert url == "https://shop.example.org/hook"
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("R-AAAA-AAAA.code.0", "1731705121")
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = b"R-AAAA-AAAA.code.0.1731705121." + body
    assert headers["webhook-signature"] == "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert json.loads(body) == {
        "type": "request.message",
        "timestamp": "2024-11-15T21:12:01Z",
        "data": {name: value for name, value in OUTGOING._asdict().items() if name != "id"},
    }


@pytest.mark.parametrize("answer", [302, 400, 500, OSError("refused")])
def test_webhook_that_does_not_take_it_is_a_failure(hook: None, answer: int | Exception) -> None:
    def post(*_: object) -> int:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(DeliveryFailed, match="webhook"):
        webhook.send(OUTGOING, post)


def test_message_goes_to_the_webhook_for_a_contact_of_its_kind(
    env: RequestsEnvironment, hook: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = []
    monkeypatch.setattr(webhook, "post", lambda *call: posted.append(call) or 200)
    monkeypatch.setattr(webhook.send, "__defaults__", (webhook.post, lambda: 0.0))
    services.record_contact("C1", "webhook", "customer-7", SHOP, NOON)
    env.verified()
    assert messages.deliver_due(NOON).sent == 1
    assert json.loads(posted[0][1])["data"]["address"] == "customer-7"


@pytest.mark.parametrize(
    ("url", "secret", "safe"),
    [("", "", True), ("https://x.example.org", SECRET, True), ("http://x.example.org", SECRET, False),
     ("https://x.example.org", "", False), ("https://x.example.org", "whsec_c2hvcnQ=", False),
     ("https://x.example.org", "whsec_!", False)],
)  # fmt: skip
def test_webhook_that_is_not_safe_is_known(url: str, secret: str, safe: bool) -> None:
    assert (webhook_problem(url, secret) == "") is safe
