"""Findings of values that are missing in the store."""

from django.db import migrations, models

KINDS = [
    ("allows_more", "The store allows more"),
    ("denies_more", "The store denies more"),
    ("missing_in_store", "Missing in the store"),
    ("values_missing", "Values missing in the store"),
    ("unknown_subject_in_store", "Unknown subject in the store"),
    ("stale_fence", "An older version in the store"),
    ("ahead_of_database", "A version in the store that the database never issued"),
]


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="finding", name="kind", field=models.CharField(choices=KINDS, max_length=32)
        )
    ]
