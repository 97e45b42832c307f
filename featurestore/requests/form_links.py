"""Links for customers without an account: signed, encrypted and expiring. Whoever has one may do what it is for.

A clock that is set back makes no expired link valid again (``set_backs.py``).
"""

import json
from datetime import datetime
from typing import NamedTuple

from featurestore.clock import milliseconds, moment
from featurestore.config import settings
from featurestore.requests.contact_box import LINKS, decrypt, encrypt
from featurestore.requests.errors import RequestError, Unreadable
from featurestore.requests.set_backs import set_backs

MAX_LENGTH = 2000


class InvalidLink(RequestError):
    """A link that was not made here, was made for something else, or has expired: the same text for all."""

    code = "invalid_link"


class FormLink(NamedTuple):
    """The form of a regime. With a customer, the shop states that it hands the link to that customer alone."""

    regime: str
    language: str
    customer_id: str = ""


class CodeLink(NamedTuple):
    """The page on which the customer enters the code of a request."""

    reference: str
    language: str


def form_url(link: FormLink, expires_at: datetime, now: datetime) -> str:
    """The address of the form."""
    return f"{settings().public_url.rstrip('/')}/requests/form/{_token('form', link, expires_at, now)}"


def read_form_link(token: str, now: datetime) -> FormLink:
    """Raises InvalidLink."""
    return FormLink(*_read("form", token, now, 3))


def code_url(link: CodeLink, expires_at: datetime, now: datetime) -> str:
    """The address of the page for a code."""
    return f"{settings().public_url.rstrip('/')}/requests/code/{_token('code', link, expires_at, now)}"


def read_code_link(token: str, now: datetime) -> CodeLink:
    """Raises InvalidLink."""
    return CodeLink(*_read("code", token, now, 2))


def _token(purpose: str, values: tuple[str, ...], expires_at: datetime, now: datetime) -> str:
    return encrypt(json.dumps([purpose, milliseconds(expires_at), set_backs(now), *values]), LINKS).rstrip("=")


def _read(purpose: str, token: str, now: datetime, values: int) -> list[str]:
    try:
        if len(token) > MAX_LENGTH or not token.isascii():
            raise Unreadable("too long, or no token")
        found, expires_ms, made_at, *rest = json.loads(decrypt(token + "=" * (-len(token) % 4), LINKS))
    except (Unreadable, ValueError, TypeError) as error:
        raise InvalidLink("This link is not valid, or no longer valid.") from error
    if found != purpose or moment(expires_ms) <= now or made_at != set_backs(now) or len(rest) != values:
        raise InvalidLink("This link is not valid, or no longer valid.")
    return rest
