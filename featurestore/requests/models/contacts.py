"""Tables of contacts on record, of the codes that are sent to them, and of the clock by which codes and links end."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from featurestore.requests.models.subject_requests import SubjectRequest
from featurestore.subjectkeys.fields import EncryptedTextField


class Contact(models.Model):
    """Contact on record of a customer: where codes and answers are sent."""

    personal_data = "Of a customer: an e-mail address, or the shop's own address of a messenger, encrypted."
    erased_by = "Deleted with the customer's other data; without the customer's key no address can be read."

    class Kind(models.TextChoices):
        EMAIL = "email", _("E-mail")
        WEBHOOK = "webhook", _("The shop's webhook")

    subject = models.CharField(max_length=32, db_index=True)
    kind = models.CharField(max_length=8, choices=Kind.choices)
    address = EncryptedTextField(editable=False)
    digest = models.CharField(max_length=64, editable=False, help_text="Keyed hash of the address.")
    recorded_by = models.CharField(max_length=150, help_text="The user or API client that put it on record.")
    recorded_at = models.DateTimeField()

    class Meta:
        ordering = ["kind", "-recorded_at", "-pk"]
        constraints = [models.UniqueConstraint(name="one_contact", fields=["subject", "kind", "digest"])]

    def __str__(self) -> str:
        return self.get_kind_display()


class VerificationCode(models.Model):
    """Code that proves that the customer reads a contact on record. Only its hash is stored."""

    personal_data = "When a code was sent to a contact of a customer."
    erased_by = "Deleted by retention, a day after it expires."

    request = models.ForeignKey(SubjectRequest, models.CASCADE, related_name="codes")
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="codes")
    digest = models.CharField(max_length=64, editable=False, help_text="Keyed hash of the code.")
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    current = models.BooleanField(
        default=True, help_text="Neither used, nor replaced, nor ended by a set-back of the clock."
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(name="one_current_code", fields=["request"], condition=models.Q(current=True))
        ]

    def __str__(self) -> str:
        return f"{self.attempts} attempts"


class RequestClock(models.Model):
    """The highest time that was seen, and how often the database's clock was set back: one row."""

    personal_data = "None."
    erased_by = "Never."

    highest_at = models.DateTimeField()
    set_backs = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.highest_at:%Y-%m-%d %H:%M:%S}"
