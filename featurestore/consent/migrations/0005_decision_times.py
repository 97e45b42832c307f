"""When a decision was made, whether a newer one had been recorded before, and the key of the request that brought it.

SQLite makes a table anew for such columns, without its triggers: they are created again.
"""

from importlib import import_module

from django.db import migrations, models
from django.utils import timezone

append_only = import_module("featurestore.consent.migrations.0002_append_only")


def guard_again(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        return
    for statement in append_only.SQLITE:
        schema_editor.execute(statement.replace("CREATE TRIGGER", "CREATE TRIGGER IF NOT EXISTS"), params=None)


class Migration(migrations.Migration):
    dependencies = [("consent", "0004_pauses")]

    operations = [
        migrations.AddField(
            model_name="consentrecord",
            name="decided_at",
            field=models.DateTimeField(
                default=timezone.now,
                help_text="Time of the decision, which orders decisions about a purpose. "
                "Of an expiry: the end of the grant.",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="superseded",
            field=models.BooleanField(
                default=False, help_text="A newer decision had been recorded before: this one changed nothing."
            ),
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="idempotency_key",
            field=models.CharField(
                blank=True,
                default="",
                editable=False,
                help_text="Keyed hash of the caller's key for this request, if any.",
                max_length=64,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="consentrecord",
            name="request_digest",
            field=models.CharField(
                blank=True,
                default="",
                editable=False,
                help_text="Keyed hash of the request with that key.",
                max_length=64,
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="consentrecord",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key", ""), _negated=True),
                fields=("idempotency_key",),
                name="one_record_per_request",
            ),
        ),
        migrations.AddField(
            model_name="currentpermission",
            name="newest_decision",
            field=models.BigIntegerField(
                blank=True,
                help_text="The record of the newest decision, by the time at which it was made.",
                null=True,
            ),
        ),
        migrations.RunPython(guard_again, migrations.RunPython.noop),
    ]
