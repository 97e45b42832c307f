"""Delivery by a signed webhook: the shop's own messenger passes the message on (Standard Webhooks 1.0).

The signature is HMAC-SHA-256 over ``id.timestamp.body`` under the secret, in base64 behind ``v1,``.
"""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from featurestore.config import settings
from featurestore.requests.delivery.outgoing import DeliveryFailed, Outgoing

PREFIX = "whsec_"
MIN_SECRET_BYTES = 24
TIMEOUT_S = 10
TYPE = "request.message"


class NoRedirect(HTTPRedirectHandler):
    """Handler that follows no redirect: a message is for the configured address alone."""

    def redirect_request(self, *args: object) -> None:
        return None


def available() -> bool:
    return bool(settings().message_webhook_url)


def webhook_problem(url: str, secret: str) -> str:
    """Why messages can't be posted to an address safely; empty if they can, or if none is set."""
    if not url:
        return ""
    if not url.startswith("https://"):
        return "it does not begin with https://"
    if len(key_of(secret)) < MIN_SECRET_BYTES:
        return f"its secret is no {PREFIX} with {MIN_SECRET_BYTES} bytes or more in base64"
    return ""


def key_of(secret: str) -> bytes:
    """The key of a secret as Standard Webhooks writes it; empty for what is none."""
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except binascii.Error:
        return b""


def signed_headers(key: bytes, id_: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers of a webhook."""
    signature = hmac.digest(key, b".".join((id_.encode(), str(at_s).encode(), body)), "sha256")
    return {
        "Content-Type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def body_of(message: Outgoing, at_s: int) -> bytes:
    """The body of a webhook: type, time, and the message."""
    data = message._asdict()
    del data["id"]
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    return json.dumps({"type": TYPE, "timestamp": at, "data": data}, ensure_ascii=False).encode()


Post = Callable[[str, bytes, Mapping[str, str]], int]


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post a body; the status of the answer. No redirect is followed, and no proxy of the environment used."""
    opener: OpenerDirector = build_opener(NoRedirect, ProxyHandler({}))
    request = Request(url, body, dict(headers), method="POST")  # noqa: S310  (an operator's setting)
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def send(message: Outgoing, post: Post = post, now_s: Callable[[], float] = time.time) -> None:
    """Post a message to the shop. Any status from 200 to 299 means taken. Raises DeliveryFailed."""
    conf, at_s = settings(), int(now_s())
    body = body_of(message, at_s)
    try:
        status = post(
            conf.message_webhook_url,
            body,
            signed_headers(key_of(conf.message_webhook_secret), message.id, at_s, body),
        )
    except (OSError, ValueError) as error:
        raise DeliveryFailed(f"The webhook did not answer: {type(error).__name__}.") from None
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise DeliveryFailed(f"The webhook answered {status}.")
