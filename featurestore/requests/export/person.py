"""The person whom a request is about, by every name under which a data location may hold something of theirs."""

from featurestore.customers.models import Customer
from featurestore.locations import Person
from featurestore.requests.models import SubjectRequest


def person_of(request: SubjectRequest) -> Person:
    """The person of a verified request. One who is not registered has no row of a customer, but may have events."""
    customers = Customer.objects.filter(subject=request.subject).values_list("pk", flat=True)
    return Person(tuple(customers), (request.customer_id,), (request.subject,))
