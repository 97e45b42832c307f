"""Tables of exports: their progress, what was found by category, where it is in the spool, what was redacted.

None of them holds what was found: that is in the spool alone, encrypted under a key that ends with the export.
"""

from django.db import models

from featurestore.requests.export.states import OPEN, ExportState

STATES = [(one.value, one.value.replace("_", " ").capitalize()) for one in ExportState]


class DataExport(models.Model):
    """Export of everything that is held about a customer, for a request: collected, reviewed, released, downloaded."""

    personal_data = "Who asked for an export when; the keys of its files and its link, encrypted."
    erased_by = "Its end deletes files, keys and link; the row is deleted with its request."

    request = models.ForeignKey("requests.SubjectRequest", models.CASCADE, related_name="exports")
    state = models.CharField(max_length=16, choices=STATES, default=ExportState.COLLECTING)
    name = models.CharField(max_length=32, unique=True, editable=False, help_text="Random name of its files.")
    encrypted_key = models.TextField(blank=True, editable=False, help_text="Key of the spool.")
    encrypted_passphrase = models.TextField(blank=True, editable=False)
    encrypted_link = models.TextField(blank=True, editable=False)
    link_digest = models.CharField(max_length=64, blank=True, editable=False, help_text="Keyed hash of the link.")

    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="It never goes back.")
    prepared_by = models.CharField(max_length=150)
    proposed_by = models.CharField("reviewed by", max_length=150, blank=True)
    released_by = models.CharField(max_length=150, blank=True)

    done = models.JSONField(default=list, editable=False, help_text="Names of the data locations that are collected.")
    location = models.CharField(
        max_length=100, blank=True, editable=False, help_text="The one that is being collected."
    )
    cursor = models.TextField(null=True, editable=False, help_text="Of that data location.")
    locations = models.PositiveIntegerField(default=0, help_text="Number of data locations.")
    items = models.PositiveBigIntegerField(default=0)
    parts = models.PositiveIntegerField(default=0, editable=False)
    spool_bytes = models.PositiveBigIntegerField(default=0, help_text="Bytes of the spool that are in use.")
    waiting_for = models.CharField(max_length=100, blank=True, help_text="What does not answer, or is full.")
    waiting_since = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    problem = models.CharField(max_length=300, blank=True)

    package_bytes = models.PositiveBigIntegerField(default=0)
    released_at = models.DateTimeField(null=True, blank=True)
    usable_until = models.DateTimeField("download until", null=True, blank=True)
    tries_left = models.PositiveSmallIntegerField(default=0)
    downloaded_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                name="one_open_export", fields=["request"], condition=models.Q(state__in=sorted(OPEN))
            ),
            models.UniqueConstraint(
                name="one_export_per_link", fields=["link_digest"], condition=~models.Q(link_digest="")
            ),
        ]
        indexes = [models.Index(name="export_by_state", fields=["state", "next_attempt_at"])]
        permissions = [
            ("review_dataexport", "Can see and redact what was collected"),
            ("release_dataexport", "Can release an export"),
            ("deliver_dataexport", "Can see the link and the passphrase of an export"),
        ]

    def __str__(self) -> str:
        return f"Export {self.pk}"


class ExportCategory(models.Model):
    """What an export found of one category of data: numbers, fields and origins, and no value."""

    personal_data = "How many items of a category a customer has, from when to when."
    erased_by = "Deleted with its export."

    export = models.ForeignKey(DataExport, models.CASCADE, related_name="categories")
    name = models.CharField(max_length=100)
    items = models.PositiveBigIntegerField(default=0)
    first_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)
    fields = models.JSONField(default=dict, help_text="Names of its fields, with the JSON types of their values.")
    origins = models.JSONField(default=dict, help_text="Where its items came from, with their numbers.")
    locations = models.JSONField(default=list, help_text="Names of the data locations that hold it.")

    class Meta:
        verbose_name_plural = "export categories"
        ordering = ["export", "name"]
        constraints = [models.UniqueConstraint(name="one_category", fields=["export", "name"])]

    def __str__(self) -> str:
        return self.name


class SpoolPart(models.Model):
    """Where in the spool some items of one category are."""

    personal_data = "None: offsets and numbers."
    erased_by = "Deleted when its export ends."

    export = models.ForeignKey(DataExport, models.CASCADE, related_name="spool_parts")
    category = models.ForeignKey(ExportCategory, models.CASCADE, related_name="spool_parts")
    number = models.PositiveIntegerField()
    first = models.PositiveBigIntegerField(help_text="Number of its first item in the category, from 0.")
    items = models.PositiveIntegerField()
    offset = models.PositiveBigIntegerField()
    length = models.PositiveIntegerField()

    class Meta:
        ordering = ["export", "number"]
        constraints = [
            models.UniqueConstraint(name="one_part_number", fields=["export", "number"]),
            models.UniqueConstraint(name="one_part_of_items", fields=["category", "first"]),
        ]

    def __str__(self) -> str:
        return f"Part {self.number}"


class Redaction(models.Model):
    """What an export withholds: a field of a category, the whole category, or one item. Never the content."""

    personal_data = "Name of the staff member; a reason in free text, which names no customer."
    erased_by = "Deleted with its export."

    export = models.ForeignKey(DataExport, models.CASCADE, related_name="redactions")
    category = models.ForeignKey(ExportCategory, models.CASCADE, related_name="redactions")
    field = models.CharField(max_length=200, blank=True, help_text="Empty: whole items.")
    item = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Number of the item in its category, from 0. Empty: every item."
    )
    reason = models.CharField(max_length=1000)
    redacted_by = models.CharField(max_length=150)
    redacted_at = models.DateTimeField()

    class Meta:
        ordering = ["export", "pk"]
        constraints = [
            models.UniqueConstraint(
                name="one_redaction_of_all", fields=["category", "field"], condition=models.Q(item=None)
            ),
            models.UniqueConstraint(name="one_redaction_of_item", fields=["category", "field", "item"]),
        ]

    def __str__(self) -> str:
        return f"Redaction {self.pk}"
