"""API clients, their keys, the secrets that buy their tokens, and what they read.

A key or secret is shown once and kept only as a hash. Tokens are django-oauth-toolkit's AccessToken, whose application
is our client (OAUTH2_PROVIDER_APPLICATION_MODEL).
"""

from typing import ClassVar

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from featurestore.access.keys import Prefix, readable

client_name = RegexValidator(
    r"\A[a-z0-9][a-z0-9_-]{0,63}\Z", "1 to 64 lower-case letters, digits, - and _: the name stands in logs."
)


class ApiClient(models.Model):
    """A program that asks: a chat engine, a shop's back end. Objects of it are what staff may be entrusted with."""

    personal_data = "None of customers. The owner may name a person of staff."
    erased_by = "Staff: replace the owner's name. Deleting a client deletes its keys, secrets and tokens."

    name = models.CharField(
        max_length=64, unique=True, validators=[client_name], help_text="Stands in logs and consent records."
    )
    owner = models.CharField(max_length=120, help_text="The team to ask, rather than a person.")
    description = models.TextField(blank=True)
    active = models.BooleanField(default=True, help_text="An inactive client's keys, secrets and tokens are refused.")
    services = models.JSONField(default=list, editable=False, help_text="What its tokens may read.")
    purposes = models.JSONField(default=list, editable=False, help_text="What its tokens may be asked for.")
    scopes = models.JSONField(default=list, editable=False, help_text="What its tokens may be asked for.")
    requests_per_s = models.PositiveIntegerField(
        "requests a second",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="On average of ten seconds, each customer of a batch counted. Empty: as usual.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "API client"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def client_id(self) -> str:
        """The name, as OAuth calls it."""
        return self.name


class Issued(models.Model):
    """What a key and a secret have in common: whose it is, and from when to when it works."""

    personal_data = "None of customers. The creator is the user name of a person of staff."
    erased_by = "Staff: with the user's erasure, `created_by` is replaced. Goes with its client."
    prefix: ClassVar[Prefix]

    key_id = models.CharField(max_length=12, unique=True, editable=False, help_text="The readable part; no secret.")
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the whole text, in hex.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=150, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the hour.")

    class Meta:
        abstract = True
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{readable(self.prefix, self.key_id)}…"


class ApiKey(Issued):
    """One secret of a client, bound to the services, purposes and scopes that it may use, until it ends."""

    prefix = Prefix.KEY

    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="keys")
    services = models.JSONField(default=list)
    purposes = models.JSONField(default=list)
    scopes = models.JSONField(default=list)

    class Meta(Issued.Meta):
        verbose_name = "API key"


class ClientSecret(Issued):
    """What a client proves itself with when it asks for a token. Two at a time, so that it can change over."""

    prefix = Prefix.SECRET

    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="secrets")

    class Meta(Issued.Meta):
        verbose_name = "client secret"


class AccessKind(models.Model):
    """Who asked for what, and what they got: the part of a read that many share, so that a record is small."""

    personal_data = "None: names of clients, services, purposes and views."
    erased_by = "Deleted by retention, when no record is of it any more."

    digest = models.CharField(max_length=32, unique=True, editable=False, help_text="Of all the rest.")
    client = models.CharField(max_length=100, db_index=True)
    credential = models.CharField(max_length=100, help_text="The readable part of a key; no secret.")
    service = models.CharField(max_length=100, db_index=True)
    purpose = models.CharField(max_length=100, db_index=True)
    given = models.JSONField(default=list, help_text="Views whose values were answered.")
    withheld = models.JSONField(default=dict, help_text="Views that were not, each with the reason.")
    made_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"{self.client}: {self.service} for {self.purpose}"


class AccessProcess(models.Model):
    """A process that answers reads, and how far its records are here."""

    personal_data = "None."
    erased_by = "Deleted by retention, with its last record."

    class State(models.TextChoices):
        AT_WORK = "at_work", _("At work")
        ENDED = "ended", _("Ended")
        VANISHED = "vanished", _("Vanished")

    name = models.CharField(max_length=16, unique=True)
    batch = models.PositiveBigIntegerField(default=0, help_text="Number of its last batch that is written.")
    next_record = models.PositiveBigIntegerField(default=0, help_text="Number of the record that comes next.")
    complete_to = models.DateTimeField(help_text="What it read until then is here, or in a gap. By its own clock.")
    heard_ms = models.PositiveBigIntegerField(
        help_text="When the control Redis last heard of it, by that Redis' clock."
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.AT_WORK)

    class Meta:
        indexes = [models.Index(name="process_by_state", fields=["state", "heard_ms"])]

    def __str__(self) -> str:
        return self.name


class AccessRecord(models.Model):
    """One customer, read once. ``id`` is made of the process's and the record's number: it can't be there twice."""

    personal_data = "A subject (pseudonym), who read which views of it, for what purpose and when."
    erased_by = "Erasure deletes a subject's records; retention deletes them after RAPPORT_ACCESS_RECORD_DAYS."

    id = models.BigIntegerField(primary_key=True)
    kind = models.ForeignKey(AccessKind, on_delete=models.PROTECT, related_name="+")
    subject = models.CharField(max_length=32)
    at = models.DateTimeField("read at")
    request_id = models.CharField(max_length=64)

    class Meta:
        indexes = [
            models.Index(name="access_by_subject", fields=["subject", "at"]),
            models.Index(name="access_by_time", fields=["at"]),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} UTC"


class AccessGap(models.Model):
    """Records that a process made and that are not here: how many, or, where it vanished, perhaps some."""

    personal_data = "None: numbers and times."
    erased_by = "Deleted by retention, after RAPPORT_ACCESS_RECORD_DAYS."

    class Reason(models.TextChoices):
        LOST = "lost", _("Lost on their way")
        VANISHED = "vanished", _("Process vanished")

    process = models.ForeignKey(AccessProcess, on_delete=models.CASCADE, related_name="gaps")
    reason = models.CharField(max_length=16, choices=Reason.choices)
    first = models.PositiveBigIntegerField(help_text="Number of the first record that is missing.")
    missing = models.PositiveBigIntegerField(null=True, blank=True, help_text="How many; empty where nobody knows.")
    since = models.DateTimeField(help_text="They were answered after this,")
    until = models.DateTimeField(help_text="and before that.")

    class Meta:
        ordering = ["-until", "-pk"]
        indexes = [models.Index(name="gap_by_time", fields=["until"])]
        constraints = [
            models.CheckConstraint(
                name="lost_are_counted", condition=models.Q(reason="vanished") | models.Q(missing__gt=0)
            )
        ]

    def __str__(self) -> str:
        return f"{self.process} from record {self.first}"


class ClientUsage(models.Model):
    """Requests of a client in an hour, by route and status. The client is "" where nobody knows it."""

    personal_data = "None: counts."
    erased_by = "Deleted by retention, after RAPPORT_ACCESS_RECORD_DAYS."

    client = models.CharField(max_length=100, blank=True)
    hour = models.DateTimeField()
    route = models.CharField(max_length=100)
    status = models.PositiveSmallIntegerField()
    requests = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "client usage"
        constraints = [models.UniqueConstraint(name="one_count_an_hour", fields=["client", "hour", "route", "status"])]
        indexes = [models.Index(name="usage_by_hour", fields=["hour"])]

    def __str__(self) -> str:
        return f"{self.client or 'no client'}: {self.route} {self.status}"
