"""Tables of consent: purposes, notices, consent records, current permissions and the outbox.

The order of sequence numbers is the order of commits: each change takes its number from the one row of ChangeSequence,
which stays locked until the commit.
"""

import secrets
from typing import Any, NoReturn

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from featurestore.consent import permission_derivation
from featurestore.consent.errors import ImmutableRecord

PENDING = models.Q(published_at=None) | models.Q(purge=True, purge_sent_at=None)
"""Changes that are not published to the store, or whose purge was not sent to the streams."""
MAX_VALIDITY_DAYS = 36_500


def new_token() -> int:
    """A random token of a permission change: never 0, and exact as a number in Redis' scripts."""
    return 1 + secrets.randbelow(2**52)


class AppendOnlyQuerySet(models.QuerySet[Any]):
    """Query set that refuses updates and deletions. Triggers refuse them in the database (migration 0002)."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise ImmutableRecord("Consent records are never changed: record a new decision.")

    def delete(self) -> NoReturn:
        raise ImmutableRecord("Consent records are never deleted: an erasure empties their free text.")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ImmutableRecord("Consent records are never changed: record a new decision.")


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


class ChangeSequence(models.Model):
    """The one row that numbers every permission change. Its lock puts changes in one order."""

    personal_data = "None."
    erased_by = "Never."

    epoch = models.BigIntegerField(help_text="Database epoch: raised after a restore. The store refuses an older one.")
    sequence = models.BigIntegerField(default=0)
    at = models.DateTimeField(help_text="Time of the last change. It never goes back.")
    latched_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when every read is denied, because this database has lost commits."
    )
    latch_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(name="one_change_sequence", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.epoch}/{self.sequence}"


class VerifierLease(models.Model):
    """The one row that says which store verifier may vouch, and for which store runs it was vouched last."""

    personal_data = "None."
    erased_by = "Never."

    holder = models.CharField(max_length=32, blank=True, help_text="The process that holds it, or held it last.")
    number = models.BigIntegerField(default=0, help_text="Raised by each new holder. The store refuses an older one.")
    released = models.BooleanField(default=True, help_text="The holder has ended and vouches no more.")
    renewed_at = models.DateTimeField()
    expiry_ms = models.PositiveIntegerField(default=0, help_text="Time until the holder's vouch keys expire.")
    predecessors_until = models.DateTimeField(
        help_text="Until then earlier holders may vouch for a run that the holder has not reached."
    )
    vouched_runs = models.TextField(blank=True, help_text="The last Redis run vouched for, of each node, one per line.")
    last_claims = models.JSONField(
        default=dict, help_text="Of each: the store incarnation and how often its vouch key was renewed."
    )

    class Meta:
        constraints = [models.CheckConstraint(name="one_verifier_lease", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.number} {self.holder}"


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


class CurrentPermission(models.Model):
    """Current state of one customer and purpose. A subject's permission is derived from these rows alone."""

    personal_data = "Which purposes a customer allows now."
    erased_by = "Erasure deletes them, and the denial is published in the same step."

    customer = models.ForeignKey("customers.Customer", models.CASCADE, related_name="permissions")
    purpose = models.ForeignKey(Purpose, models.PROTECT, related_name="permissions")
    allowed = models.BooleanField(help_text="So decided. A paused purpose is denied all the same.")
    paused = models.BooleanField(default=False, help_text="Nothing is counted or answered until the pause is lifted.")
    late_pause = models.BooleanField(
        default=False, help_text="The store got the pause late: when it is lifted, a new grant begins."
    )
    grant_id = models.BigIntegerField(default=0, help_text="Raised by each new grant; 0: never granted.")
    since = models.DateTimeField(null=True, blank=True)
    complete_from = models.DateTimeField(
        null=True, blank=True, help_text="If later than since: events before it may have been denied."
    )
    until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    sequence = models.BigIntegerField(help_text="The last change of this row.")
    start_sequence = models.BigIntegerField(default=0, help_text="The change that set since, complete_from or paused.")
    newest_decision = models.BigIntegerField(
        null=True, blank=True, help_text="The record of the newest decision, by the time at which it was made."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_permission", fields=["customer", "purpose"]),
            models.CheckConstraint(
                name="allowed_has_grant",
                condition=models.Q(allowed=False) | models.Q(grant_id__gt=0, since__isnull=False),
            ),
        ]
        indexes = [
            models.Index(name="permission_by_end", fields=["until"], condition=models.Q(allowed=True)),
            models.Index(name="permission_paused", fields=["customer"], condition=models.Q(paused=True)),
        ]

    def __str__(self) -> str:
        return f"{'allowed' if self.allowed else 'denied'} {self.grant_id}"


class SubjectVersion(models.Model):
    """Version of a subject's permission: the sequence of its last change. It outlives the customer, as a denial."""

    personal_data = "A subject (pseudonym) and a number."
    erased_by = (
        "Erasure raises it, which leaves a versioned denial; erasure deletes that, too, after "
        "RAPPORT_JOURNAL_RETENTION_DAYS."
    )

    subject = models.CharField(max_length=32, primary_key=True)
    sequence = models.BigIntegerField(unique=True)

    def __str__(self) -> str:
        return str(self.sequence)


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


class JournalCheckpoint(models.Model):
    """The one row that says up to which offset the consent journal was compared with this database.

    A database that was restored from a backup has the offset of the backup's time, so that what the journal holds since
    is read again, and compared. A take-over moves it to the journal's end.
    """

    personal_data = "None."
    erased_by = "Never."

    topic = models.CharField(max_length=249)
    topic_id = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Of a topic that is made anew it is another one.",
    )
    offset = models.BigIntegerField(default=0)
    last_token = models.BigIntegerField(
        default=0, db_default=0, help_text="The token of the last compared record; 0: unknown."
    )
    compared_at = models.DateTimeField(null=True, help_text="Every record that the journal had by then is in here.")
    database_ahead_ms = models.IntegerField(
        null=True, help_text="How far this database's clock was ahead of the brokers' (below 0: behind), at worst."
    )

    class Meta:
        constraints = [models.CheckConstraint(name="one_journal_checkpoint", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"{self.topic}/{self.offset}"


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
