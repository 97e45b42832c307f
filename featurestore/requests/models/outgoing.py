"""Tables of what is sent: messages to customers, and reminders to staff. Each row is sent by a Celery task."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from featurestore.requests.models.contacts import Contact
from featurestore.requests.models.subject_requests import Language, SubjectRequest
from featurestore.subjectkeys.fields import EncryptedTextField


class CustomerMessage(models.Model):
    """A text that is sent to the customer of a request: one row for each, which is also its proof."""

    personal_data = "What was written to a customer, encrypted, when, and to which contact."
    erased_by = "Erasure empties the text; kind and times stay as proof. Deleted with the request."

    class Kind(models.TextChoices):
        ACKNOWLEDGEMENT = "acknowledgement", _("Acknowledgement")
        CODE = "code", _("Code")
        EXTENSION = "extension", _("Extension")
        REFUSAL = "refusal", _("Refusal")
        ANSWER = "answer", _("Answer")
        EXPORT_LINK = "export_link", _("Link to the export")
        PASSPHRASE = "passphrase", _("Passphrase of the export")

    class State(models.TextChoices):
        QUEUED = "queued", _("To be sent")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Not delivered")
        BY_HAND = "by_hand", _("To be sent by hand")
        CANCELLED = "cancelled", _("Not needed any more")

    request = models.ForeignKey(SubjectRequest, models.CASCADE, related_name="messages")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    number = models.PositiveSmallIntegerField(
        default=0, help_text="Of several codes, or of several exports. Every other kind is sent once."
    )
    language = models.CharField(max_length=2, choices=Language.choices)
    contact = models.ForeignKey(Contact, models.SET_NULL, null=True, blank=True, related_name="messages")
    text = EncryptedTextField(subject="request.subject", editable=False, help_text="Subject line, empty line, text.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    reserved_by = models.CharField(max_length=32, blank=True, editable=False, help_text="The call that took it.")
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["request", "pk"]
        constraints = [models.UniqueConstraint(name="one_message", fields=["request", "kind", "number"])]
        indexes = [
            models.Index(name="message_due", fields=["next_attempt_at"], condition=models.Q(state="queued")),
            models.Index(name="message_reserved_by", fields=["reserved_by"], condition=~models.Q(reserved_by="")),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.get_state_display().lower()}"


class Reminder(models.Model):
    """A reminder to a staff member that a request is due, or overdue: one row for each due date and recipient."""

    personal_data = "None of customers: a request's reference and due date. A staff member."
    erased_by = "Deleted with the request, or with the user."

    class Kind(models.TextChoices):
        ACKNOWLEDGEMENT_DUE = "acknowledgement_due", _("Acknowledgement due")
        DUE_SOON = "due_soon", _("Due soon")
        OVERDUE = "overdue", _("Overdue")

    request = models.ForeignKey(SubjectRequest, models.CASCADE, related_name="reminders")
    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="reminders")
    kind = models.CharField(max_length=24, choices=Kind.choices)
    due_at = models.DateTimeField()
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True, help_text="Empty: not yet, or the person has no address.")
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [models.UniqueConstraint(name="one_reminder", fields=["request", "recipient", "kind", "due_at"])]
        indexes = [models.Index(name="reminder_due", fields=["next_attempt_at"], condition=models.Q(sent_at=None))]

    def __str__(self) -> str:
        return f"{self.kind} {self.due_at:%Y-%m-%d}"
