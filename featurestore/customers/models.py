"""Tables of customers, of identifiers that were erased, and of legal holds."""

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


class Suppression(models.Model):
    """Digest of an identifier that was erased. What arrives for it later creates nobody (``suppressions.py``)."""

    personal_data = "None without its key and the identifier: a keyed hash of an identifier that was erased."
    erased_by = "Never: by it an erasure endures. A deliberate new registration deletes it."

    key_id = models.CharField(max_length=32, help_text="Of the key in RAPPORT_SUPPRESSION_KEYS.")
    normalisation = models.CharField(max_length=16, help_text="What was done to the identifier before.")
    digest = models.CharField(max_length=64, editable=False)
    erased_at = models.DateTimeField(help_text="Nothing from before counts for the same identifier any more.")
    refused = models.PositiveBigIntegerField(default=0, help_text="How often something was refused because of it.")
    refused_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="one_suppression", fields=["digest", "key_id", "normalisation"])]

    def __str__(self) -> str:
        return f"{self.key_id}/{self.normalisation}"


class LegalHold(models.Model):
    """Legal duty or claim that keeps a customer's rows in some locations, whatever else is erased."""

    personal_data = "A subject (pseudonym), and why its rows are kept, in a text that names no customer."
    erased_by = (
        "An erasure empties the subject of one that is not in force; the rest stays, as proof why rows were kept."
    )

    subject = models.CharField(max_length=32, editable=False, db_index=True)
    locations = models.JSONField(default=list, help_text="Names of data locations; empty: all.")
    reason = models.CharField(max_length=500)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Empty: until it is released.")
    placed_by = models.CharField(max_length=150)
    placed_at = models.DateTimeField(db_default=Now())
    released_by = models.CharField(max_length=150, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    release_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-begins_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="hold_has_reason", condition=~models.Q(reason="")),
            models.CheckConstraint(
                name="hold_ends_after", condition=models.Q(ends_at=None) | models.Q(ends_at__gt=models.F("begins_at"))
            ),
            models.CheckConstraint(
                name="release_has_reason",
                condition=models.Q(released_at=None) | (~models.Q(released_by="") & ~models.Q(release_reason="")),
            ),
        ]

    def __str__(self) -> str:
        return f"hold {self.pk}"
