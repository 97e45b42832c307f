"""Pauses, and since when the counting of a grant is complete."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("consent", "0003_verifier_lease_and_latch")]

    operations = [
        migrations.AddField(
            model_name="currentpermission",
            name="paused",
            field=models.BooleanField(
                default=False, help_text="Nothing is counted or answered until the pause is lifted."
            ),
        ),
        migrations.AddField(
            model_name="currentpermission",
            name="complete_from",
            field=models.DateTimeField(
                blank=True, help_text="If later than since: events before it may have been denied.", null=True
            ),
        ),
        migrations.AddField(
            model_name="currentpermission",
            name="start_sequence",
            field=models.BigIntegerField(default=0, help_text="The change that set since and complete_from."),
        ),
        migrations.AlterField(
            model_name="currentpermission",
            name="allowed",
            field=models.BooleanField(help_text="So decided. A paused purpose is denied all the same."),
        ),
        migrations.AlterField(
            model_name="consentrecord",
            name="decision",
            field=models.CharField(
                choices=[
                    ("given", "Given"),
                    ("withdrawn", "Withdrawn"),
                    ("expired", "Expired"),
                    ("paused", "Paused"),
                    ("lifted", "Pause lifted"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="permissionchange",
            name="purge",
            field=models.BooleanField(
                help_text="Values may exist that are no longer allowed, or may be missing: the streams must act."
            ),
        ),
    ]
