"""Suppressions: digests of erased identifiers. A late feed, a repeated request or an import can't re-create the person.

An entry is made under the first key of RAPPORT_SUPPRESSION_KEYS and names it, with the normalisation of the identifier;
a look-up tries every key and normalisation. So a key can be added, and none is ever removed.
"""

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from unicodedata import normalize

from django.db.models import F
from prometheus_client import Counter

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.customers.models import Suppression
from featurestore.identity import strip_invisible

REFUSED = Counter("rapport_suppressed", "Arrivals for erased identifiers that were refused.", ["entrance"])


def _normal_form(identifier: str) -> str:
    return strip_invisible(normalize("NFC", identifier))


NORMALISATIONS: Mapping[str, Callable[[str], str]] = {"nfc": _normal_form}
"""What makes spellings of an identifier equal. New entries use the first; none is ever changed or removed."""


class Entry(NamedTuple):
    """Digest of an identifier, and what it was made with."""

    key_id: str
    normalisation: str
    digest: str

    def __str__(self) -> str:
        return ":".join(self)


def entry_of(identifier: str) -> Entry:
    """The entry to store for an identifier that is erased."""
    return _entries_of(identifier)[0]


def parse_entry(text: str) -> Entry:
    """The entry in a text that ``str`` made. Raises ValueError."""
    key_id, normalisation, digest = text.split(":")
    return Entry(key_id, normalisation, digest)


def find_suppressions(identifiers: Collection[str]) -> dict[str, list[Suppression]]:
    """The suppressions of identifiers; those without one are left out."""
    wanted = {entry: one for one in identifiers for entry in _entries_of(one)}
    found: dict[str, list[Suppression]] = {}
    for row in Suppression.objects.filter(digest__in={entry.digest for entry in wanted}).order_by("pk"):
        identifier = wanted.get(Entry(row.key_id, row.normalisation, row.digest))
        if identifier is not None:
            found.setdefault(identifier, []).append(row)
    return found


def add_suppressions(entries: Iterable[Entry], at: datetime) -> None:
    """Store entries, in the caller's transaction. Of one that is stored already, the later time counts."""
    Suppression.objects.bulk_create(
        [Suppression(**entry._asdict(), erased_at=at) for entry in dict.fromkeys(entries)], ignore_conflicts=True
    )
    for entry in entries:
        Suppression.objects.filter(**entry._asdict(), erased_at__lt=at).update(erased_at=at)


def count_refused(rows: Collection[Suppression], entrance: str, now: datetime | None = None) -> None:
    """Count that something was refused at an entrance, once for each row."""
    if rows:
        REFUSED.labels(entrance).inc(len(rows))
        at = now or database_now()
        Suppression.objects.filter(pk__in=[row.pk for row in rows]).update(refused=F("refused") + 1, refused_at=at)


def _entries_of(identifier: str) -> list[Entry]:
    """The entries that an identifier may have: the newest key and normalisation first."""
    return [
        Entry(key_id, name, _digest(key, name, normalise(identifier)))
        for key_id, key in settings().suppression_keys_by_id.items()
        for name, normalise in NORMALISATIONS.items()
    ]


def _digest(key: str, normalisation: str, identifier: str) -> str:
    message = f"{normalisation}\0{identifier}".encode(errors="surrogatepass")
    return hmac.digest(key.encode(), message, "sha256").hex()
