"""Triggers that refuse to change an event of a request, and to delete one before its request was marked as erased.

SQLite gets no guard against deletion: tests empty tables there with DELETE, and it holds demos alone (the system check
rapport.E004).
"""

from django.db import migrations

EVENT = "requests_requestevent"

POSTGRES = f"""
CREATE FUNCTION requests_refuse_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'append-only: % is never changed', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE FUNCTION requests_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM requests_subjectrequest WHERE id = OLD.request_id AND erased_at IS NULL) THEN
        RAISE EXCEPTION 'append-only: % is only deleted with an erased request', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER request_event_update BEFORE UPDATE ON {EVENT} FOR EACH ROW EXECUTE FUNCTION requests_refuse_update();
CREATE TRIGGER request_event_delete BEFORE DELETE ON {EVENT} FOR EACH ROW EXECUTE FUNCTION requests_refuse_delete();
"""
POSTGRES_BACK = f"""
DROP TRIGGER request_event_update ON {EVENT};
DROP TRIGGER request_event_delete ON {EVENT};
DROP FUNCTION requests_refuse_update();
DROP FUNCTION requests_refuse_delete();
"""
SQLITE = (
    f"CREATE TRIGGER request_event_update BEFORE UPDATE ON {EVENT} "
    "BEGIN SELECT RAISE(ABORT, 'append-only: never changed'); END"
)


def guard(apps, schema_editor):
    postgres = schema_editor.connection.vendor == "postgresql"
    schema_editor.execute(POSTGRES if postgres else SQLITE, params=None)


def unguard(apps, schema_editor):
    postgres = schema_editor.connection.vendor == "postgresql"
    schema_editor.execute(POSTGRES_BACK if postgres else "DROP TRIGGER request_event_update", params=None)


class Migration(migrations.Migration):
    dependencies = [("requests", "0002_regimes")]
    operations = [migrations.RunPython(guard, unguard)]
