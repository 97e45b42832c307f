"""API clients and their keys. A key's secret is shown once and kept only as a hash."""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now

client_name = RegexValidator(
    r"\A[a-z0-9][a-z0-9_-]{0,63}\Z", "1 to 64 lower-case letters, digits, - and _: the name stands in logs."
)


class ApiClient(models.Model):
    """A program that asks: a chat engine, a shop's back end. Objects of it are what staff may be entrusted with."""

    personal_data = "None of customers. The owner may name a person of staff."
    erased_by = "Staff: replace the owner's name. Deleting a client deletes its keys."

    name = models.CharField(
        max_length=64, unique=True, validators=[client_name], help_text="Stands in logs and consent records."
    )
    owner = models.CharField(max_length=120, help_text="The team to ask, rather than a person.")
    description = models.TextField(blank=True)
    active = models.BooleanField(default=True, help_text="An inactive client's keys are refused within 2 seconds.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "API client"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """One secret of a client, bound to the services, purposes and scopes that it may use, until it ends."""

    personal_data = "None of customers. The creator is the user name of a person of staff."
    erased_by = "Staff: with the user's erasure, `created_by` is replaced. Goes with its client."

    client = models.ForeignKey(ApiClient, on_delete=models.CASCADE, related_name="keys")
    key_id = models.CharField(max_length=12, unique=True, editable=False, help_text="The readable part; no secret.")
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of the whole key, in hex.")
    services = models.JSONField(default=list)
    purposes = models.JSONField(default=list)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=150, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the hour.")

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"rap_{self.key_id}_…"
