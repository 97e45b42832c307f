"""Passed-by subjects: those of which the streams skipped an event because the store had no permission of them.

If the store is emptied afterwards, nothing in it tells that events are missing. So before a stream worker skips an
event, it writes its subject to a compacted Kafka topic, and reads the permission again: what it then skips is known
outside of the store. The store verifier starts the subject's grants later before it vouches for a store that was filled
anew (``featurestore.consent.passed_by``). Pure.

The key of an *entry* is ``SUBJECT/TOKEN``; its value says nothing. Every entry has a token of its own, so that the
tombstone that removes one removes no later one of the same subject.

>>> subject_of(key_of("0" * 32, "7f"))
'00000000000000000000000000000000'
>>> subject_of(b"anything else") is None
True
"""

from featurestore.identity import is_subject

PARTITION = 0  # the only one
VALUE = b"1"
REMEMBERED_S = 60
"""So long after it has written an entry, a stream worker skips events of the subject without another entry."""


def key_of(subject: str, token: str) -> bytes:
    return f"{subject}/{token}".encode()


def subject_of(key: bytes) -> str | None:
    """The subject of an entry's key; None of a key that is none."""
    subject, _, token = key.partition(b"/")
    return subject.decode() if is_subject(subject) and token else None
