"""Tables of customers' decisions: consent records, and lost denials that are kept."""

from typing import Any, NoReturn

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from featurestore.consent import permission_derivation
from featurestore.consent.errors import ImmutableRecord
from featurestore.consent.models.append_only import AppendOnlyQuerySet
from featurestore.consent.models.purposes import Notice, Purpose


class ConsentRecord(models.Model):
    """One decision of a customer about a purpose. Appended, never changed."""

    personal_data = (
        "Which customer decided what, when, how, under which notice; a reason in free text; keyed hashes of a request."
    )
    erased_by = (
        "Erasure empties free text and request hashes, and the customer's row has a pseudonym: the records are the "
        "proof of what was decided."
    )

    class Decision(models.TextChoices):
        GIVEN = permission_derivation.Decision.GIVEN, _("Given")
        WITHDRAWN = permission_derivation.Decision.WITHDRAWN, _("Withdrawn")
        EXPIRED = permission_derivation.Decision.EXPIRED, _("Expired")
        PAUSED = permission_derivation.Decision.PAUSED, _("Paused")
        LIFTED = permission_derivation.Decision.LIFTED, _("Pause lifted")

    class Method(models.TextChoices):
        WEB = "web", _("Web")
        APP = "app", _("App")
        CHAT = "chat", _("Chat")
        PHONE = "phone", _("Phone")
        EMAIL = "email", _("E-mail")
        SHOP = "shop", _("In the shop")
        API = "api", _("API")
        ADMIN = "admin", _("Administration")
        IMPORT = "import", _("Import")
        SYSTEM = "system", _("System")

    sequence = models.BigIntegerField(unique=True)
    customer = models.ForeignKey("customers.Customer", models.PROTECT, related_name="consent_records")
    purpose = models.ForeignKey(Purpose, models.PROTECT, related_name="records")
    decision = models.CharField(max_length=16, choices=Decision.choices)
    at = models.DateTimeField(help_text="Time of recording, by the database's clock.")
    decided_at = models.DateTimeField(
        help_text="Time of the decision, which orders decisions about a purpose. Of an expiry: the end of the grant."
    )
    superseded = models.BooleanField(
        default=False, help_text="A newer decision had been recorded before: this one changed nothing."
    )
    since = models.DateTimeField(help_text="Time from which the decision counts.")
    until = models.DateTimeField(null=True, blank=True)
    method = models.CharField(max_length=16, choices=Method.choices)
    notice = models.ForeignKey(Notice, models.PROTECT, null=True, blank=True, related_name="records")
    actor = models.CharField(max_length=150, help_text="The user or API client that recorded it.")
    reason = models.CharField(max_length=500, blank=True)
    idempotency_key = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Keyed hash of the caller's key for this request, if any."
    )
    request_digest = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Keyed hash of the request with that key."
    )

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        ordering = ["-sequence"]
        indexes = [models.Index(name="record_by_customer", fields=["customer", "-sequence"]),
                   models.Index(name="record_by_day", fields=["at", "decision"])]  # fmt: skip
        constraints = [
            models.UniqueConstraint(
                name="one_record_per_request", fields=["idempotency_key"], condition=~models.Q(idempotency_key="")
            )
        ]

    def __str__(self) -> str:
        return f"{self.decision} {self.sequence}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise ImmutableRecord("Consent records are never changed: record a new decision.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImmutableRecord("Consent records are never deleted: an erasure empties their free text.")


class KeptDenial(models.Model):
    """A lost denial of a subject and purpose that the database does not know. It is applied once it knows both."""

    personal_data = "A subject (pseudonym): which purpose was denied, when, how, by whom, under which notice."
    erased_by = "An erasure of the subject deletes it; so does its application, which makes a consent record of it."

    subject = models.CharField(max_length=32)
    purpose = models.CharField(max_length=64, help_text="The purpose's name.")
    state = models.CharField(max_length=8, help_text="refused or paused")
    decision = models.CharField(max_length=16)
    decided_at = models.DateTimeField(help_text="Time of the decision, which orders decisions about a purpose.")
    recorded_at = models.DateTimeField(help_text="Time of the lost recording.")
    since = models.DateTimeField(help_text="Time from which the decision counts.")
    method = models.CharField(max_length=16)
    actor = models.CharField(max_length=150)
    notice = models.CharField(max_length=128, blank=True, help_text="The notice's reference.")
    reason = models.CharField(max_length=500)
    newest = models.JSONField(
        null=True, editable=False, help_text="Evidence of the newest lost decision, if the denial is an expiry."
    )
    kept_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(name="one_kept_denial", fields=["subject", "purpose", "state"])]

    def __str__(self) -> str:
        return f"{self.purpose} {self.state}"
