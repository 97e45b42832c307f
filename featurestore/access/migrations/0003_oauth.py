import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Clients get secrets, and an allowance for the tokens that they buy."""

    dependencies = [
        ('access', '0002_access_records'),
    ]
    run_before = [
        ('oauth2_provider', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='apiclient',
            name='services',
            field=models.JSONField(default=list, editable=False, help_text='What its tokens may read.'),
        ),
        migrations.AddField(
            model_name='apiclient',
            name='purposes',
            field=models.JSONField(default=list, editable=False, help_text='What its tokens may be asked for.'),
        ),
        migrations.AddField(
            model_name='apiclient',
            name='scopes',
            field=models.JSONField(default=list, editable=False, help_text='What its tokens may be asked for.'),
        ),
        # The toolkit's 0006 writes this field of every client that is there already: 0004 takes it away again.
        migrations.AddField(
            model_name='apiclient',
            name='client_secret',
            field=models.CharField(default='', editable=False, max_length=1),
        ),
        migrations.AlterField(
            model_name='apiclient',
            name='active',
            field=models.BooleanField(default=True, help_text="An inactive client's keys, secrets and tokens are refused."),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='digest',
            field=models.CharField(editable=False, help_text='SHA-256 of the whole text, in hex.', max_length=64),
        ),
        migrations.CreateModel(
            name='ClientSecret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key_id', models.CharField(editable=False, help_text='The readable part; no secret.', max_length=12, unique=True)),
                ('digest', models.CharField(editable=False, help_text='SHA-256 of the whole text, in hex.', max_length=64)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('created_by', models.CharField(editable=False, max_length=150)),
                ('expires_at', models.DateTimeField()),
                ('revoked_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('last_used_at', models.DateTimeField(blank=True, editable=False, help_text='To the hour.', null=True)),
                ('client', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='secrets', to='access.apiclient')),
            ],
            options={
                'verbose_name': 'client secret',
                'ordering': ['-created_at'],
            },
        ),
    ]
