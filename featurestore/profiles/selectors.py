"""The readers of customers."""

from featurestore.profiles.models import Customer


def find(customer_id: str) -> Customer | None:
    """The customer with an id, unless erased."""
    return Customer.objects.filter(customer_id=customer_id, erased_at=None).first()
