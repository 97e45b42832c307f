"""Passed-by subjects: those of which the streams skipped an event or a purge, because the store had no permission.

If the store is emptied afterwards, nothing in it tells that something is missing. So before a stream worker passes a
subject by, it writes it to a compacted Kafka topic, and reads the permission again: what it then skips is known outside
of the store. Before the store verifier vouches for a store that was filled anew, it starts the subject's grants later,
and has another purge sent (``featurestore.consent.passed_by``). Pure.

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
"""So long after it has written an entry, a stream worker passes the subject by without another one."""


def key_of(subject: str, token: str) -> bytes:
    return f"{subject}/{token}".encode()


def subject_of(key: bytes) -> str | None:
    """The subject of an entry's key; None of a key that is none."""
    subject, _, token = key.partition(b"/")
    return subject.decode() if is_subject(subject) and token else None
