"""Login events, and the counts behind the limits of logins."""

from django.db import models
from django.db.models.functions import Now


class LoginEvent(models.Model):
    """A login, a failed one, or a change of a second factor. Never changed; see ``services.record``."""

    class Kind(models.TextChoices):
        LOGGED_IN = "logged_in", "Logged in"
        FAILED = "failed", "Failed"
        FACTOR_ADDED = "factor_added", "Second factor added"
        FACTOR_REMOVED = "factor_removed", "Second factor removed"
        CODES_MADE = "codes_made", "Recovery codes made"
        FACTOR_RESET = "factor_reset", "Second factor reset"

    personal_data = "None of customers. Of staff: user name, address, the reason of a reset."
    erased_by = "Deleted by retention, after RAPPORT_LOGIN_EVENT_DAYS."

    at = models.DateTimeField(db_default=Now(), editable=False, db_index=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    staff = models.CharField(
        "staff member",
        max_length=150,
        blank=True,
        help_text="Empty: a name that nobody has, which is not kept, since it may be a password.",
    )
    actor = models.CharField(max_length=150, blank=True, help_text="Who did it, if not the staff member.")
    address = models.GenericIPAddressField(null=True, blank=True)
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.staff or 'unknown name'}"


class LoginLimit(models.Model):
    """A row of Django's database cache, in which django-allauth counts attempts and used codes for all processes."""

    personal_data = "None of customers. Of whoever tries to log in: an address, or a SHA-256 of a user name."
    erased_by = "Deleted by retention, within ten minutes after it expires: a day after the attempt at the latest."

    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.cache_key
