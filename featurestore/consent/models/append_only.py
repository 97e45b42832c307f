"""Query set of tables whose rows are appended and never changed."""

from typing import Any, NoReturn

from django.db import models

from featurestore.consent.errors import ImmutableRecord


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Query set that refuses updates and deletions. Triggers refuse them in the database (migrations 0002, 0012)."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise ImmutableRecord("Consent records are never changed: record a new decision.")

    def delete(self) -> NoReturn:
        raise ImmutableRecord("Consent records are never deleted: an erasure empties their free text.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImmutableRecord("Consent records are never changed: record a new decision.")
