"""Table of the outbox: changes for the store, the journal and the streams."""

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _

PENDING = models.Q(published_at=None) | models.Q(purge=True, purge_sent_at=None)
"""Changes that are not published to the store, or whose purge was not sent to the streams."""


def new_token() -> int:
    """A random token of a permission change: never 0, and exact as a number in Redis' scripts."""
    return 1 + secrets.randbelow(2**52)


class PermissionChange(models.Model):
    """Row of the outbox: a change for the store, the journal and, with ``purge``, the streams."""

    personal_data = "A subject (pseudonym), when its permission changed, and a keyed hash of an erased identifier."
    erased_by = (
        "Erasure puts a pseudonym in place of the subject, once the change is in effect, sent and journaled; retention "
        "deletes it 30 days later, unless it is among the newest hundred."
    )

    class Kind(models.TextChoices):
        CHANGE = "change", _("Change")
        ERASURE = "erasure", _("Erasure")

    sequence = models.BigIntegerField(unique=True)
    token = models.BigIntegerField(
        default=new_token, editable=False, help_text="Distinguishes it from a change of the same number that was lost."
    )
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.CHANGE, editable=False)
    subject = models.CharField(max_length=32, db_index=True)
    suppression = models.CharField(max_length=128, blank=True, db_default="", default="", editable=False)
    purge = models.BooleanField(
        help_text="Values may exist that are no longer allowed, or may be missing: the streams must act."
    )
    created_at = models.DateTimeField(db_index=True)
    published_at = models.DateTimeField(
        null=True, blank=True, help_text="When the store held it and was vouched for: in effect."
    )
    purge_sent_at = models.DateTimeField(null=True, blank=True)
    journaled_at = models.DateTimeField(null=True, blank=True, help_text="When the consent journal acknowledged it.")
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    reserved_by = models.CharField(max_length=32, blank=True, editable=False, help_text="The relay call that took it.")
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["sequence"]
        indexes = [
            models.Index(name="change_due", fields=["next_attempt_at"], condition=PENDING),
            models.Index(name="change_unpublished", fields=["sequence"], condition=models.Q(published_at=None)),
            models.Index(name="change_unjournaled", fields=["sequence"], condition=models.Q(journaled_at=None)),
            models.Index(name="change_reserved_by", fields=["reserved_by"], condition=~models.Q(reserved_by="")),
        ]

    def __str__(self) -> str:
        return str(self.sequence)
