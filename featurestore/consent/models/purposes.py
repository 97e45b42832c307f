"""Tables of purposes and of the notices that explain them to customers."""

from typing import Any, NoReturn

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from featurestore.consent import permission_derivation
from featurestore.consent.errors import ImmutableRecord

MAX_VALIDITY_DAYS = 36_500


class Purpose(models.Model):
    """Purpose that customers' data may be used for. A read needs it in the credential, the view and the permission."""

    personal_data = "None."
    erased_by = "Never: it is the proof of what customers were asked."

    class Basis(models.TextChoices):
        CONSENT = permission_derivation.Basis.CONSENT, _("Consent")
        CONTRACT = permission_derivation.Basis.CONTRACT, _("Contract")
        LEGAL_OBLIGATION = permission_derivation.Basis.LEGAL_OBLIGATION, _("Legal obligation")
        LEGITIMATE_INTEREST = permission_derivation.Basis.LEGITIMATE_INTEREST, _("Legitimate interest (with objection)")

    name = models.SlugField(max_length=64, unique=True)
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    lawful_basis = models.CharField(max_length=32, choices=Basis.choices)
    active = models.BooleanField(default=True, help_text="A retired purpose is denied to every customer, for good.")
    retired_at = models.DateTimeField(null=True, blank=True, editable=False)
    validity_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_VALIDITY_DAYS)],
        help_text="Days after which a consent ends. Empty: it has no end.",
    )
    backfilled = models.BooleanField(
        default=False,
        editable=False,
        help_text="Customers registered before the purpose have its first permission, or it needs or allows none.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    """Text shown to customers when they decide. Never changed after publication: a new text is a new version."""

    personal_data = "None."
    erased_by = "Never: it is the proof of what customers were asked."

    reference = models.CharField(max_length=128, unique=True, editable=False, help_text="name/version/language")
    name = models.SlugField(max_length=64)
    version = models.PositiveIntegerField()
    language = models.CharField(max_length=16)
    body = models.TextField()
    purposes = models.ManyToManyField(Purpose, related_name="notices")
    sha256 = models.CharField(max_length=64, editable=False)
    published_at = models.DateTimeField(editable=False)

    class Meta:
        ordering = ["name", "-version", "language"]
        constraints = [models.UniqueConstraint(name="one_notice", fields=["name", "version", "language"])]

    def __str__(self) -> str:
        return self.reference

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ImmutableRecord("A published notice is never changed: publish a new version.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImmutableRecord("A published notice is never deleted.")
