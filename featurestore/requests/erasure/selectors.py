"""Readers of erasures."""

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q, QuerySet

from featurestore.customers.models import Customer
from featurestore.locations import Person
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.requests.erasure.person import digest_of

TO_COME = (ErasureStep.State.HELD, ErasureStep.State.UNAVAILABLE)


def subjects_being_erased(subjects: Collection[str]) -> set[str]:
    """The subjects, of these, whose whole erasure is not answered yet, or has rows that a hold keeps or that could not
    be reached: what is written for them now may be erased.
    """
    digests = {digest_of(subject): subject for subject in subjects}
    to_come = Exists(ErasureStep.objects.filter(erasure=OuterRef("pk"), state__in=TO_COME))
    whole = Erasure.objects.filter(person_digest__in=digests, purposes=[], sources=[])
    erasing = whole.filter(Q(state=Erasure.State.ERASING) | Q(to_come, state=Erasure.State.ANSWERED))
    return {digests[one] for one in erasing.values_list("person_digest", flat=True)}


def came_back(person: Person) -> bool:
    """Whether the person is registered again since: what is stored under their subject now may be new."""
    return person.whole and Customer.objects.filter(subject__in=person.subjects, erased_at=None).exists()


def hindered() -> QuerySet[Erasure]:
    """Erasures that wait for a location that is unavailable, or for the store or the journal."""
    waiting = ~Q(waiting_for="") | Q(steps__state=ErasureStep.State.UNAVAILABLE)
    return Erasure.objects.exclude(state=Erasure.State.CLOSED).filter(waiting).distinct()
