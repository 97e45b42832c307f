"""Contacts and texts of requests are encrypted by the key of their subject, and no longer by RAPPORT_CONTACT_KEY."""

from django.db import migrations

from featurestore.requests.contact_box import decrypt, encrypt
from featurestore.subjectkeys.fields import EncryptedTextField
from featurestore.subjectkeys.subject_keys import encrypt_text, decrypt_text

PAGE = 500
JOINED = "requests_customermessage AS c JOIN requests_subjectrequest AS r ON r.id = c.request_id"
COLUMNS = (
    ("requests_contact", "address", "c.subject", "requests_contact AS c"),
    ("requests_subjectrequest", "details", "c.subject", "requests_subjectrequest AS c"),
    ("requests_subjectrequest", "answer", "c.subject", "requests_subjectrequest AS c"),
    ("requests_customermessage", "text", "r.subject", JOINED),
)


def encrypt_again(connection, again):
    for table, column, subject, source in COLUMNS:
        last = 0
        find = f"SELECT c.id, {subject}, c.{column} FROM {source} WHERE c.id > %s ORDER BY c.id LIMIT {PAGE}"
        while rows := _all(connection, find, [last]):
            last = rows[-1][0]
            for key, of, stored in rows:
                if stored:
                    put = f"UPDATE {table} SET {column} = %s WHERE id = %s"
                    connection.cursor().execute(put, [again(of, stored, f"{table}.{column}"), key])


def forwards(apps, schema_editor):
    encrypt_again(schema_editor.connection, lambda of, stored, column: encrypt_text(of, decrypt(stored), column))


def backwards(apps, schema_editor):
    encrypt_again(schema_editor.connection, lambda of, stored, column: encrypt(decrypt_text(of, stored, column)))


def _all(connection, statement, values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


class Migration(migrations.Migration):
    dependencies = [("requests", "0007_clock")]
    operations = [
        migrations.RenameField("contact", "encrypted_address", "address"),
        migrations.RenameField("subjectrequest", "encrypted_details", "details"),
        migrations.RenameField("subjectrequest", "encrypted_answer", "answer"),
        migrations.RenameField("customermessage", "encrypted_text", "text"),
        migrations.AlterField("contact", "address", EncryptedTextField(editable=False, subject="subject")),
        migrations.AlterField(
            "subjectrequest",
            "details",
            EncryptedTextField(blank=True, editable=False, help_text="The customer's own words.", subject="subject"),
        ),
        migrations.AlterField(
            "subjectrequest",
            "answer",
            EncryptedTextField(
                blank=True, editable=False, help_text="What was answered to the customer.", subject="subject"
            ),
        ),
        migrations.AlterField(
            "customermessage",
            "text",
            EncryptedTextField(editable=False, help_text="Subject line, empty line, text.", subject="request.subject"),
        ),
        migrations.RunPython(forwards, backwards),
    ]
