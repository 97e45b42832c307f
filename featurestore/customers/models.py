"""Table of customers."""

from django.db import models
from django.db.models.functions import Now


class Customer(models.Model):
    """Customer of the shop, by its customer id. Consent, features and events refer to the subject."""

    personal_data = "The shop's customer id, the subject derived from it, region, brand, customer since."
    erased_by = (
        "Erasure marks the row, and puts a pseudonym in place of id and subject; region, brand and dates go. The rest "
        "of it stays, for the consent records."
    )

    customer_id = models.CharField(max_length=256, unique=True)
    subject = models.CharField(max_length=32, unique=True, editable=False)
    region = models.CharField(max_length=32, db_index=True)
    brand = models.CharField(max_length=64, db_index=True)
    since = models.DateTimeField(help_text="Customer since. Purposes that need no consent are allowed from then.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="customer_id_not_empty", condition=~models.Q(customer_id=""))]

    def __str__(self) -> str:
        return self.customer_id
