"""Rule by which an erasure may change a consent record: it empties the free text and the request keys, nothing else.

It holds for every client of the database, and for records of customers who are marked as erased alone. A column that is
added to the table must be added to FIXED for SQLite; PostgreSQL compares whole rows. A test compares both.
"""

from importlib import import_module

from django.db import migrations

append_only = import_module("featurestore.consent.migrations.0002_append_only")

EMPTIED = ("reason", "idempotency_key", "request_digest")
FIXED = (
    *("id", "sequence", "customer_id", "purpose_id", "decision", "at", "decided_at", "superseded", "since", "until"),
    *("method", "notice_id", "actor"),
)
EMPTY = " AND ".join(f"NEW.{column} = ''" for column in EMPTIED)
ERASED = "EXISTS (SELECT 1 FROM customers_customer WHERE id = OLD.customer_id AND erased_at IS NOT NULL)"
POSTGRES = f"""
CREATE FUNCTION consent_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {EMPTY} AND {ERASED}
        AND to_jsonb(NEW) - ARRAY{list(EMPTIED)} = to_jsonb(OLD) - ARRAY{list(EMPTIED)}
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'append-only: % is never changed', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
DROP TRIGGER consent_record_update ON {append_only.RECORD};
CREATE TRIGGER consent_record_update BEFORE UPDATE ON {append_only.RECORD}
    FOR EACH ROW EXECUTE FUNCTION consent_refuse_change();
"""
POSTGRES_BACK = f"""
DROP TRIGGER consent_record_update ON {append_only.RECORD};
CREATE TRIGGER consent_record_update BEFORE UPDATE ON {append_only.RECORD}
    FOR EACH ROW EXECUTE FUNCTION consent_refuse();
DROP FUNCTION consent_refuse_change();
"""
SAME = " AND ".join(f"NEW.{column} IS OLD.{column}" for column in FIXED)
SQLITE = [
    "DROP TRIGGER consent_record_update",
    f"CREATE TRIGGER consent_record_update BEFORE UPDATE ON {append_only.RECORD} "
    f"WHEN NOT ({EMPTY} AND {SAME} AND {ERASED}) BEGIN SELECT RAISE(ABORT, 'append-only: never changed'); END",
]
SQLITE_BACK = ["DROP TRIGGER consent_record_update", append_only.SQLITE[0]]


def guard(apps, schema_editor):
    postgres = schema_editor.connection.vendor == "postgresql"
    for statement in [POSTGRES] if postgres else SQLITE:
        schema_editor.execute(statement, params=None)


def unguard(apps, schema_editor):
    postgres = schema_editor.connection.vendor == "postgresql"
    for statement in [POSTGRES_BACK] if postgres else SQLITE_BACK:
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("consent", "0009_topic_ids_and_last_claims"), ("customers", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
