from django.db import migrations


class Migration(migrations.Migration):
    """A client's secrets are rows of their own: the field that the toolkit's migrations wrote goes."""

    dependencies = [
        ('access', '0003_oauth'),
        ('oauth2_provider', '0006_alter_application_client_secret'),
    ]

    operations = [
        migrations.RemoveField(model_name='apiclient', name='client_secret'),
    ]
