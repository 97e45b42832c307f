"""Triggers and rights by which the tables of the audit log only grow, for every client of the database.

Of PostgreSQL: no row is changed by anybody; waiting entries and contents may be deleted, other rows may not. The roles
that have rights beside the owner lose UPDATE, TRUNCATE and, where rows stay for ever, DELETE (docs/servers.md). SQLite
gets no guard against deletion, as consent records do not: tests empty tables there, and it holds demos alone.
"""

from django.db import migrations

KEPT = ("auditlog_leaf", "auditlog_node", "auditlog_treehead", "auditlog_signingkey")
DELETED = ("auditlog_waitingentry", "auditlog_entrycontent")
FUNCTION = """
CREATE FUNCTION auditlog_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'append-only: % is never changed', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
GRANTEES = """
SELECT DISTINCT grantee FROM information_schema.role_table_grants
WHERE table_schema = current_schema() AND table_name = %s AND grantee <> current_user
"""


def statements():
    for table in (*KEPT, *DELETED):
        rows, whole = ("UPDATE OR DELETE", "TRUNCATE") if table in KEPT else ("UPDATE", "")
        yield f"CREATE TRIGGER {table}_rows BEFORE {rows} ON {table} FOR EACH ROW EXECUTE FUNCTION auditlog_refuse()"
        if whole:
            yield f"CREATE TRIGGER {table}_whole BEFORE {whole} ON {table} EXECUTE FUNCTION auditlog_refuse()"


def guard(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        for table in (*KEPT, *DELETED):
            schema_editor.execute(
                f"CREATE TRIGGER {table}_rows BEFORE UPDATE ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'append-only: never changed'); END"
            )
        return
    schema_editor.execute(FUNCTION, params=None)
    for statement in statements():
        schema_editor.execute(statement, params=None)
    with connection.cursor() as cursor:
        for table in (*KEPT, *DELETED):
            cursor.execute(GRANTEES, [table])
            rights = "UPDATE, DELETE, TRUNCATE" if table in KEPT else "UPDATE, TRUNCATE"
            for (grantee,) in cursor.fetchall():
                role = grantee if grantee == "PUBLIC" else schema_editor.quote_name(grantee)
                cursor.execute(f"REVOKE {rights} ON {table} FROM {role}")


def unguard(apps, schema_editor):
    postgres = schema_editor.connection.vendor == "postgresql"
    for table in (*KEPT, *DELETED):
        on = f" ON {table}" if postgres else ""
        schema_editor.execute(f"DROP TRIGGER {table}_rows{on}")
        if postgres and table in KEPT:
            schema_editor.execute(f"DROP TRIGGER {table}_whole{on}")
    if postgres:
        schema_editor.execute("DROP FUNCTION auditlog_refuse()")


class Migration(migrations.Migration):
    dependencies = [("auditlog", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
