"""Tables of the audit log. Only the content of entries is ever deleted, and nothing is ever changed.

An entry is written to WaitingEntry in the transaction of what it records. Sequencing moves it: its commitment becomes
the next Leaf, its content an EntryContent. Triggers and rights refuse everything else (migration 0002). Two tables
are no part of the log, and change: where tree heads are sent, and verifications.
"""

from django.db import models
from django.db.models.functions import Now

ACTOR_LENGTH = 200


class WaitingEntry(models.Model):
    """Entry that has no index yet. The order of keys is that of commits, where one transaction waited for another."""

    personal_data = "Entries of the audit log that were appended some seconds ago."
    erased_by = "Sequencing moves them within seconds; erasure moves them first, and then deletes what they say."

    subject = models.CharField(max_length=32, blank=True, db_index=True)
    salt = models.BinaryField(max_length=32)
    content = models.TextField(help_text="Canonical JSON.")
    appended_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"waiting {self.pk}"


class Leaf(models.Model):
    """Leaf of the tree: what stays of an entry for ever."""

    personal_data = (
        "None: salted hashes. Without the salt, which an erasure deletes, nothing can be tried against them."
    )
    erased_by = "Never: without them no entry could be verified."

    index = models.PositiveBigIntegerField(primary_key=True, help_text="From 0 on, without gaps.")
    commitment = models.BinaryField(max_length=32, help_text="SHA-256 of salt and content.")
    root = models.BinaryField(max_length=32, help_text="Root of the tree up to this entry.")

    def __str__(self) -> str:
        return str(self.index)


class EntryContent(models.Model):
    """Content of an entry, with the salt of its commitment. Type, actor and time repeat the content, to be searched."""

    personal_data = "A subject (pseudonym), with its decisions and their reasons in free text; names of staff."
    erased_by = "Erasure deletes content and salt, and appends which entries those were; a salted hash stays."

    index = models.PositiveBigIntegerField("entry", primary_key=True)
    at = models.DateTimeField("time", db_index=True)
    type = models.CharField(max_length=64, db_index=True)
    actor = models.CharField(max_length=ACTOR_LENGTH, db_index=True, help_text="Who did it.")
    subject = models.CharField(max_length=32, blank=True, db_index=True)
    salt = models.BinaryField(max_length=32)
    content = models.TextField(help_text="Canonical JSON.")

    class Meta:
        ordering = ["-index"]
        verbose_name = "audit log entry"
        verbose_name_plural = "audit log entries"

    def __str__(self) -> str:
        return f"Entry {self.index}"


class Node(models.Model):
    """Hash of a complete subtree of 256, 65,536, ... entries, so that a proof needs some hundred rows."""

    personal_data = "None: hashes of hashes."
    erased_by = "Never."

    level = models.PositiveSmallIntegerField(help_text="It has 2 to the power of this many leaves: a multiple of 8.")
    index = models.PositiveBigIntegerField(help_text="Its number within the level, from 0 on.")
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(name="one_node", fields=["level", "index"])]

    def __str__(self) -> str:
        return f"{self.level}/{self.index}"


class TreeHead(models.Model):
    """Signed statement how many entries there were at a time, and with which root."""

    personal_data = "None."
    erased_by = "Never: it proves what the log had."

    size = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    note = models.TextField(help_text="Signed note (C2SP tlog-checkpoint).")

    def __str__(self) -> str:
        return str(self.size)


class SigningKey(models.Model):
    """Public key of tree heads, introduced by the key before it."""

    personal_data = "None."
    erased_by = "Never: tree heads of earlier keys stay verifiable."

    name = models.CharField(max_length=100, unique=True)
    note = models.TextField(help_text="Signed note with the public key.")
    added_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class HeadDestination(models.Model):
    """Place elsewhere that keeps tree heads, and the last one that was sent there."""

    personal_data = "None."
    erased_by = "Never: a place that the settings no longer name keeps its row."

    address = models.CharField(max_length=500, unique=True, help_text="A folder, or the address of a webhook.")
    size = models.PositiveBigIntegerField(
        "entries", default=0, help_text="Of the last tree head that was sent; 0: none was."
    )
    sent_at = models.DateTimeField(null=True, help_text="When it was sent.")
    attempts = models.PositiveIntegerField(default=0, help_text="That failed since.")
    next_attempt_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True, help_text="Why the last attempt failed.")

    class Meta:
        ordering = ["address"]
        verbose_name = "place of tree heads"
        verbose_name_plural = "places of tree heads"

    def __str__(self) -> str:
        return self.address


class LogVerification(models.Model):
    """One verification of the whole log."""

    personal_data = "None of customers: the name of a staff member. Findings name entries by number."
    erased_by = "Deleted by retention, two years later."

    started_at = models.DateTimeField(db_index=True)
    started_by = models.CharField(max_length=150, blank=True, help_text="Empty: it was due.")
    finished_at = models.DateTimeField(null=True)
    entries = models.PositiveBigIntegerField(default=0, help_text="Entries that were verified.")
    erased = models.PositiveBigIntegerField(default=0, help_text="Entries whose content an erasure had removed.")
    heads = models.PositiveBigIntegerField("tree heads", default=0, help_text="Signatures that were verified.")
    root = models.CharField(max_length=64, blank=True, help_text="Root of the tree of these entries.")
    found = models.PositiveIntegerField(default=0, help_text="What does not hold.")
    findings = models.TextField(blank=True, help_text="The first of them, a line each.")
    error = models.CharField(max_length=300, blank=True, help_text="Why it ended early.")

    class Meta:
        ordering = ["-started_at", "-pk"]
        verbose_name = "log verification"

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S}"
