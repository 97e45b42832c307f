"""Data location of what denies an erased subject: the version of its permission, and the hash with it in the store."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from featurestore.config import settings
from featurestore.consent.locations.store import reached_store
from featurestore.consent.models import SubjectVersion
from featurestore.consent.services.erasure import forget_subjects
from featurestore.locations import Item, Kind, Person, Proof, Storage
from featurestore.row_locations import RowLocation
from featurestore.store import configured


class VersionedDenialLocation(RowLocation):
    """Versions of subjects. After an erasure they deny whatever an older store or database says, until none is left."""

    name, title, category = "versioned_denials", "Versions of permissions", "version of a permission"
    model = SubjectVersion
    derived_from = ("permissions",)
    erased_after = ("store", "state_tables", "permission_changes")

    def __init__(self) -> None:
        super().__init__()
        self.stored_in = (*self.stored_in, Storage(Kind.STORE_KEY, "fs:{*}"))

    def gone_within(self) -> timedelta:
        return timedelta(days=settings().journal_retention_days)

    def rows(self, person: Person) -> QuerySet[SubjectVersion]:
        found = SubjectVersion.objects.filter(subject__in=person.subjects)
        return found if person.whole else found.none()

    def item(self, row: SubjectVersion) -> Item:
        return Item(self.category, "your decisions", None, {"number": row.sequence})

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        with reached_store():
            return forget_subjects(keys)

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        proof = super().prove(person, after, limit)
        if not person.whole or after is not None:
            return proof
        with reached_store():
            contents = configured.store().contents(person.subjects)
        return proof._replace(traces=proof.traces + sum(map(bool, contents)), checked=proof.checked + len(contents))
