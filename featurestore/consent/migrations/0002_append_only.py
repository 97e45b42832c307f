"""Triggers that refuse to change or delete a consent record, by any client of the database.

Records may be deleted once their customer is marked as erased. SQLite gets no guard against deletion: tests empty
tables there with DELETE, and it holds demos alone (the system check rapport.E004).
"""

from django.db import migrations

RECORD, NOTICE = "consent_consentrecord", "consent_notice"

POSTGRES = f"""
CREATE FUNCTION consent_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'append-only: % is never changed', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE FUNCTION consent_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM customers_customer WHERE id = OLD.customer_id AND erased_at IS NULL) THEN
        RAISE EXCEPTION 'append-only: % is only deleted by an erasure', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER consent_record_update BEFORE UPDATE ON {RECORD} FOR EACH ROW EXECUTE FUNCTION consent_refuse();
CREATE TRIGGER consent_record_delete BEFORE DELETE ON {RECORD} FOR EACH ROW EXECUTE FUNCTION consent_refuse_delete();
CREATE TRIGGER consent_notice_update BEFORE UPDATE OR DELETE ON {NOTICE} FOR EACH ROW EXECUTE FUNCTION consent_refuse();
"""
POSTGRES_BACK = f"""
DROP TRIGGER consent_record_update ON {RECORD};
DROP TRIGGER consent_record_delete ON {RECORD};
DROP TRIGGER consent_notice_update ON {NOTICE};
DROP FUNCTION consent_refuse();
DROP FUNCTION consent_refuse_delete();
"""
SQLITE = [
    f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'append-only: never changed'); END"
    for name, table in (("consent_record_update", RECORD), ("consent_notice_update", NOTICE))
]


def guard(apps, schema_editor):
    postgres = schema_editor.connection.vendor == "postgresql"
    for statement in [POSTGRES] if postgres else SQLITE:
        schema_editor.execute(statement, params=None)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRES_BACK, params=None)
    else:
        for name in ("consent_record_update", "consent_notice_update"):
            schema_editor.execute(f"DROP TRIGGER {name}")


class Migration(migrations.Migration):
    dependencies = [("consent", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
