"""The header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a string that names one request."""

import re

from featurestore.api.errors import MalformedHeader

HEADER = "Idempotency-Key"
QUOTED = r'"(?P<quoted>[\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"'
BARE = r"(?P<bare>[-A-Za-z0-9_.:+/=@~]{1,255})"
KEY = re.compile(f"{QUOTED}|{BARE}")
GROUP = re.compile(r"\?P<\w+>")
PARAMETER = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "description": "A key of your own for this request, in quotation marks: send a repeat with the same key and body. "
    "It is recorded once, and the repeat gets the same answer. A UUID does; it must not identify a customer.",
    "schema": {"type": "string", "pattern": f"^({GROUP.sub('?:', KEY.pattern)})$"},
}


def idempotency_key_of(header: str | None) -> str | None:
    """The key in a header, None without one. Raises MalformedHeader.

    The draft has it in quotation marks. Many clients send it without: that is the same key.

    >>> idempotency_key_of('"8e03978e-40d5"'), idempotency_key_of("8e03978e-40d5")
    ('8e03978e-40d5', '8e03978e-40d5')
    """
    if header is None:
        return None
    found = KEY.fullmatch(header.strip())
    if found is None:
        raise MalformedHeader(f"{HEADER}: send 1 to 255 visible ASCII characters in quotation marks.")
    return found["quoted"] or found["bare"]
