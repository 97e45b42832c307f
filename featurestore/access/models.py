"""API clients, their keys, the secrets for their tokens, and the number of their requests.

A key or secret is shown once and stored only as a hash. Tokens are django-oauth-toolkit's AccessToken, whose
application is our client (OAUTH2_PROVIDER_APPLICATION_MODEL).
"""

from typing import ClassVar

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Now

from featurestore.access.keys import Prefix, readable_part

client_name = RegexValidator(
    r"\A[a-z0-9][a-z0-9_-]{0,63}\Z", "1 to 64 lower-case letters, digits, - and _: logs contain the name."
)


class ApiClient(models.Model):
    """A program that calls the API: a chat engine, a shop's back end. Staff may be assigned single clients."""

    personal_data = "None of customers. The owner may name a staff member."
    erased_by = "Staff: replace the owner's name. Deleting a client deletes its keys, secrets and tokens."

    name = models.CharField(
        max_length=64, unique=True, validators=[client_name], help_text="Logs and consent records contain it."
    )
    owner = models.CharField(max_length=120, help_text="The responsible team, rather than a person.")
    description = models.TextField(blank=True)
    active = models.BooleanField(default=True, help_text="An inactive client's keys, secrets and tokens are refused.")
    services = models.JSONField(default=list, editable=False, help_text="Services that its tokens may read.")
    purposes = models.JSONField(default=list, editable=False, help_text="Purposes that its tokens may name.")
    scopes = models.JSONField(default=list, editable=False, help_text="Actions that its tokens allow at most.")
    requests_per_s = models.PositiveIntegerField(
        "requests a second",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Average over ten seconds; each customer of a batch counts. Empty: the installation's default.",
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
    """Base class of keys and secrets: id, digest, and the time in which they work."""

    personal_data = "None of customers. The creator is the user name of a staff member."
    erased_by = "Staff: with the user's erasure, `created_by` is replaced. Deleted with its client."
    prefix: ClassVar[Prefix]

    key_id = models.CharField(max_length=12, unique=True, editable=False, help_text="The readable part; not secret.")
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
        return f"{readable_part(self.prefix, self.key_id)}…"


class ApiKey(Issued):
    """API key of a client, bound to services, purposes and scopes until it expires or is revoked."""

    prefix = Prefix.KEY

    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="keys")
    services = models.JSONField(default=list)
    purposes = models.JSONField(default=list)
    scopes = models.JSONField(default=list)

    class Meta(Issued.Meta):
        verbose_name = "API key"


class ClientSecret(Issued):
    """Secret with which a client gets tokens. A client may have two that work, so that it can change over."""

    prefix = Prefix.SECRET

    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="secrets")

    class Meta(Issued.Meta):
        verbose_name = "client secret"


class ClientUsage(models.Model):
    """Requests of a client in an hour, by route and status. Client "": no valid credential."""

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
        return f"{self.client or 'unknown client'}: {self.route} {self.status}"
