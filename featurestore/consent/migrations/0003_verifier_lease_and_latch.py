from django.db import migrations, models

from featurestore.consent.models import new_token


class Migration(migrations.Migration):
    dependencies = [("consent", "0002_append_only")]
    operations = [
        migrations.CreateModel(
            "VerifierLease",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "holder",
                    models.CharField(
                        blank=True, help_text="The process that holds it, or held it last.", max_length=32
                    ),
                ),
                (
                    "number",
                    models.BigIntegerField(
                        default=0, help_text="Raised by each new holder. The store refuses an older one."
                    ),
                ),
                (
                    "released",
                    models.BooleanField(default=True, help_text="The holder has ended and vouches no more."),
                ),
                ("renewed_at", models.DateTimeField()),
                (
                    "expiry_ms",
                    models.PositiveIntegerField(default=0, help_text="Time until the holder's vouch keys expire."),
                ),
                (
                    "predecessors_until",
                    models.DateTimeField(
                        help_text="Until then earlier holders may vouch for a run that the holder has not reached."
                    ),
                ),
                (
                    "vouched_runs",
                    models.TextField(
                        blank=True, help_text="The last Redis run vouched for, of each node, one per line."
                    ),
                ),
            ],
            {"constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="one_verifier_lease")]},
        ),
        migrations.RemoveField("changesequence", "vouched_runs"),
        migrations.AddField(
            "changesequence",
            "latched_at",
            models.DateTimeField(
                blank=True,
                help_text="Since when every read is denied, because this database has lost commits.",
                null=True,
            ),
        ),
        migrations.AddField("changesequence", "latch_reason", models.CharField(blank=True, max_length=300)),
        migrations.AddField(
            "permissionchange",
            "token",
            models.BigIntegerField(
                default=new_token,
                editable=False,
                help_text="Distinguishes it from a change of the same number that was lost.",
            ),
        ),
    ]
