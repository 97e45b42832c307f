"""Erasure and deletion in the access log. Records are written by ``consumer.py`` alone."""

from collections.abc import Collection

from featurestore.accesslog.models import AccessRecord
from featurestore.customers.models import Customer
from featurestore.customers.selectors import pseudonym


def pseudonymise_records(keys: Collection[int]) -> int:
    """Put pseudonyms in place of the subjects of erased customers in records; the number of records."""
    found = AccessRecord.objects.filter(pk__in=keys)
    subjects = set(found.values_list("subject", flat=True))
    present = Customer.objects.filter(subject__in=subjects, erased_at=None)
    erased = subjects.difference(present.values_list("subject", flat=True))
    return sum(found.filter(subject=subject).update(subject=pseudonym(subject)) for subject in erased)


def delete_records(keys: Collection[int]) -> int:
    """Delete records, as a retention rule says; their number. Who read what then is not known any more."""
    deleted, _by_model = AccessRecord.objects.filter(pk__in=keys).delete()
    return deleted
