"""States of permissions, appended with each change. Rows of earlier changes are derived from the consent records.

Like consent records, they are never changed, and are deleted of erased customers alone (migration 0002).
"""

import django.db.models.deletion
from django.db import migrations, models

TABLE = "consent_permissionstate"
POSTGRES = f"""
CREATE TRIGGER consent_state_update BEFORE UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION consent_refuse();
CREATE TRIGGER consent_state_delete BEFORE DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION consent_refuse_delete();
"""
SQLITE = f"CREATE TRIGGER consent_state_update BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(ABORT, 'append-only: never changed'); END"
BACK = ["consent_state_update", "consent_state_delete"]
BATCH = 1000


def guard(apps, schema_editor):
    postgres = schema_editor.connection.vendor == "postgresql"
    schema_editor.execute(POSTGRES if postgres else SQLITE, params=None)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for name in BACK:
            schema_editor.execute(f"DROP TRIGGER {name} ON {TABLE}")
    else:
        schema_editor.execute(f"DROP TRIGGER {BACK[0]}")


def derive(apps, schema_editor):
    """A row for each earlier decision that counted, and for each present permission that none of them explains."""
    current, state = apps.get_model("consent", "CurrentPermission"), apps.get_model("consent", "PermissionState")
    last, rows = 0, []
    while customers := list(
        apps.get_model("customers", "Customer").objects.filter(pk__gt=last).order_by("pk")[:BATCH]
    ):
        last, rows = customers[-1].pk, []
        records = apps.get_model("consent", "ConsentRecord").objects.filter(customer__in=customers, superseded=False)
        decided = {}
        for record in records.order_by("sequence").select_related("purpose"):
            decided.setdefault((record.customer_id, record.purpose_id), []).append(record)
        present = {
            (row.customer_id, row.purpose_id): row
            for row in current.objects.filter(customer__in=customers).select_related("customer")
        }
        for key in decided.keys() | present.keys():
            rows += states(state, key, decided.get(key, []), present.get(key))
        state.objects.bulk_create(rows, batch_size=BATCH)


def states(state, key, records, row):
    """The states of one customer and purpose, by its records and its present permission, the oldest first."""
    customer, purpose = key
    found, allowed, paused, grant, since, until = [], False, False, 0, None, None
    for record in records:
        if record.decision == "given":
            if not allowed:
                grant, since = record.sequence, record.since
            allowed, until = True, record.until
        elif record.decision in ("withdrawn", "expired"):
            allowed, until = False, None
        else:
            paused = record.decision == "paused"
        ended = record.since if record.decision in ("withdrawn", "expired") else None
        found.append(
            state(
                customer_id=customer,
                purpose_id=purpose,
                sequence=record.sequence,
                at=record.at,
                allowed=allowed,
                paused=paused,
                grant_id=grant,
                since=since,
                until=until,
                ended_at=ended,
            )
        )
    if row is not None:
        copied = {
            name: getattr(row, name)
            for name in ("allowed", "paused", "grant_id", "since", "complete_from", "until", "ended_at", "sequence")
        }
        if found and found[-1].sequence == row.sequence:
            found.pop()
        at = records[-1].at if records else row.customer.created_at
        found.append(state(customer_id=customer, purpose_id=purpose, at=at, **copied))
    return found


class Migration(migrations.Migration):
    dependencies = [
        ("consent", "0011_suppressions"),
        ("customers", "0002_suppressions_and_holds"),
    ]

    operations = [
        migrations.AddField(
            model_name="purpose",
            name="retired_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.CreateModel(
            name="PermissionState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sequence", models.BigIntegerField(help_text="The change that brought the state.")),
                ("at", models.DateTimeField(help_text="When that was recorded, by the database's clock.")),
                ("allowed", models.BooleanField()),
                ("paused", models.BooleanField()),
                ("grant_id", models.BigIntegerField()),
                ("since", models.DateTimeField(blank=True, null=True)),
                ("complete_from", models.DateTimeField(blank=True, null=True)),
                ("until", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="customers.customer"
                    ),
                ),
                (
                    "purpose",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="consent.purpose"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("customer", "purpose", "sequence"), name="one_state_a_change")
                ],
            },
        ),
        migrations.RunPython(derive, migrations.RunPython.noop),
        migrations.RunPython(guard, unguard),
    ]
