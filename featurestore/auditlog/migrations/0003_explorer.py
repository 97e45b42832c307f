"""Type, actor and time of entries as columns, places of tree heads, verifications.

The trigger that refuses changes of contents is absent while the columns of existing rows are filled.
"""

import json
from datetime import UTC, datetime

from django.db import migrations, models

TRIGGER = "auditlog_entrycontent_rows"
EPOCH = datetime.fromtimestamp(0, UTC)
PAGE = 2000


def unguard(apps, schema_editor):
    on = " ON auditlog_entrycontent" if schema_editor.connection.vendor == "postgresql" else ""
    schema_editor.execute(f"DROP TRIGGER {TRIGGER}{on}")


def guard(apps, schema_editor):
    does = (
        "FOR EACH ROW EXECUTE FUNCTION auditlog_refuse()"
        if schema_editor.connection.vendor == "postgresql"
        else "BEGIN SELECT RAISE(ABORT, 'append-only: never changed'); END"
    )
    schema_editor.execute(f"CREATE TRIGGER {TRIGGER} BEFORE UPDATE ON auditlog_entrycontent {does}", params=None)


def fill(apps, schema_editor):
    contents = apps.get_model("auditlog", "EntryContent").objects
    last = -1
    while page := list(contents.filter(index__gt=last).order_by("index")[:PAGE]):
        for row in page:
            told = json.loads(row.content)
            at = datetime.fromtimestamp(told["at_ms"] // 1000, UTC)
            row.at = at.replace(microsecond=told["at_ms"] % 1000 * 1000)
            row.type, row.actor = told["type"], told["actor"][:200]
        contents.bulk_update(page, ["at", "type", "actor"], batch_size=200)
        last = page[-1].index


class Migration(migrations.Migration):
    dependencies = [("auditlog", "0002_append_only")]
    operations = [
        migrations.CreateModel(
            name="HeadDestination",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "address",
                    models.CharField(
                        help_text="A folder, or the address of a webhook.", max_length=500, unique=True
                    ),
                ),
                (
                    "size",
                    models.PositiveBigIntegerField(
                        default=0,
                        help_text="Of the last tree head that was sent; 0: none was.",
                        verbose_name="entries",
                    ),
                ),
                ("sent_at", models.DateTimeField(help_text="When it was sent.", null=True)),
                ("attempts", models.PositiveIntegerField(default=0, help_text="That failed since.")),
                ("next_attempt_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, help_text="Why the last attempt failed.", max_length=300)),
            ],
            options={
                "verbose_name": "place of tree heads",
                "verbose_name_plural": "places of tree heads",
                "ordering": ["address"],
            },
        ),
        migrations.CreateModel(
            name="LogVerification",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started_at", models.DateTimeField(db_index=True)),
                ("started_by", models.CharField(blank=True, help_text="Empty: it was due.", max_length=150)),
                ("finished_at", models.DateTimeField(null=True)),
                ("entries", models.PositiveBigIntegerField(default=0, help_text="Entries that were verified.")),
                (
                    "erased",
                    models.PositiveBigIntegerField(
                        default=0, help_text="Entries whose content an erasure had removed."
                    ),
                ),
                (
                    "heads",
                    models.PositiveBigIntegerField(
                        default=0, help_text="Signatures that were verified.", verbose_name="tree heads"
                    ),
                ),
                ("root", models.CharField(blank=True, help_text="Root of the tree of these entries.", max_length=64)),
                ("found", models.PositiveIntegerField(default=0, help_text="What does not hold.")),
                ("findings", models.TextField(blank=True, help_text="The first of them, a line each.")),
                ("error", models.CharField(blank=True, help_text="Why it ended early.", max_length=300)),
            ],
            options={"verbose_name": "log verification", "ordering": ["-started_at", "-pk"]},
        ),
        migrations.AlterModelOptions(
            name="entrycontent",
            options={
                "ordering": ["-index"],
                "verbose_name": "audit log entry",
                "verbose_name_plural": "audit log entries",
            },
        ),
        migrations.RunPython(unguard, guard),
        migrations.AddField(
            "entrycontent",
            "actor",
            models.CharField(db_index=True, default="", help_text="Who did it.", max_length=200),
            preserve_default=False,
        ),
        migrations.AddField(
            "entrycontent",
            "at",
            models.DateTimeField(db_index=True, default=EPOCH, verbose_name="time"),
            preserve_default=False,
        ),
        migrations.AddField(
            "entrycontent",
            "type",
            models.CharField(db_index=True, default="", max_length=64),
            preserve_default=False,
        ),
        migrations.AlterField(
            "entrycontent", "index", models.PositiveBigIntegerField(primary_key=True, serialize=False, verbose_name="entry")
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunPython(guard, unguard),
    ]
