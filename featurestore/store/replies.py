"""Replies of Redis: which errors there are, and contents that can't be read."""

import re
from collections.abc import Callable
from typing import TypeVar

import hiredis
import msgspec

from featurestore.store.connection import Replies
from featurestore.store.metrics import DAMAGED
from featurestore.store.protocol import StoreUnavailable

T = TypeVar("T")
UNAVAILABLE = re.compile(  # within a script, Redis 6.2 puts the script's name before the error's
    "^(ERR Error running script .*: -)?"
    "(LOADING|READONLY|OOM|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|ASK|BUSY|NOAUTH|NOPERM|MISCONF|NOREPLICAS)"
)


class MovedSlot(StoreUnavailable):
    """The node does not own a slot that a command was for."""


def decoded(decode: Callable[[bytes], T], raw: bytes, content: str) -> T | None:
    """The content of a field or key; None if it can't be read, which is counted."""
    try:
        return decode(raw)
    except msgspec.MsgspecError:
        DAMAGED.labels(content).inc()
        return None


def is_error(reply: object, start: str) -> bool:
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(start)


def is_ask(reply: object) -> bool:
    """Whether a cluster's node redirects one command, whose key has left with a migrating slot."""
    return is_error(reply, "ASK ")


def error_of(reply: Exception) -> Exception:
    """The exception of an error reply: StoreUnavailable for a state of the store, else the reply itself (our bug)."""
    text = str(reply)
    if text.startswith("MOVED "):
        return MovedSlot(f"the key is on another node ({text}): a cluster's store_url begins with redis+cluster://")
    return StoreUnavailable(f"store can't serve now: {text}") if UNAVAILABLE.match(text) else reply


def checked(replies: Replies) -> Replies:
    """The replies. Raises the exception of the first error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise error_of(reply)
    return replies
