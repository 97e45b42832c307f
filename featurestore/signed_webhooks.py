"""Posting of signed webhooks (Standard Webhooks 1.0) to the addresses that settings name.

The signature is HMAC-SHA-256 over ``id.timestamp.body`` under the secret, in base64 behind ``v1,``.
"""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

PREFIX = "whsec_"
MIN_SECRET_BYTES = 24
TIMEOUT_S = 10


class WebhookFailed(Exception):
    """A webhook that was not taken: try again later. The text says why, and names no address."""


class NoRedirect(HTTPRedirectHandler):
    """Handler that follows no redirect: a webhook is for the configured address alone."""

    def redirect_request(self, *args: object) -> None:
        return None


def webhook_problem(url: str, secret: str) -> str:
    """Why webhooks can't be posted to an address safely; empty if they can, or if none is set."""
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


def body_of(type_: str, data: Mapping[str, Any], at_s: int) -> bytes:
    """The body of a webhook: its type, the time, and its data."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    return json.dumps({"type": type_, "timestamp": at, "data": data}, ensure_ascii=False).encode()


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


def send_webhook(
    url: str, secret: str, id_: str, type_: str, data: Mapping[str, Any], now_s: float, post: Post = post
) -> None:
    """Post a webhook. ``id_``: the same for each attempt, so that the receiver knows a repeat. Any status from 200 to
    299 means taken. Raises WebhookFailed.
    """
    body = body_of(type_, data, int(now_s))
    try:
        status = post(url, body, signed_headers(key_of(secret), id_, int(now_s), body))
    except (OSError, ValueError) as error:
        raise WebhookFailed(f"The webhook did not answer: {type(error).__name__}.") from None
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise WebhookFailed(f"The webhook answered {status}.")
