"""Rows that expire are deleted by beat's schedule, and no other row is."""

from datetime import UTC, datetime, timedelta

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db.models import DateTimeField
from oauth2_provider.models import AccessToken, set_token_value

from adminsite.celery import SCHEDULE, app
from featurestore.access.models import ApiClient
from featurestore.logins.models import LoginLimit

KEPT = {
    "access.ApiKey": "who was given which key stays known",
    "access.ClientSecret": "as a key",
}
PRUNED = {"sessions.Session", "oauth2_provider.AccessToken", "logins.LoginLimit", "requests.VerificationCode"}
UNUSED = {"oauth2_provider.Grant", "oauth2_provider.IDToken", "oauth2_provider.DeviceGrant"}
"""Tables of the toolkit that the one grant served here never writes."""
DAY = timedelta(days=1)


def test_every_model_that_expires_is_pruned_or_kept_for_a_reason() -> None:
    found = {
        model._meta.label
        for model in apps.get_models()
        for field in model._meta.fields
        if isinstance(field, DateTimeField) and field.name.startswith("expire")
    }
    assert found == KEPT.keys() | PRUNED | UNUSED


def test_schedule_deletes_expired_sessions_tokens_and_login_limits(bot: ApiClient) -> None:
    now = datetime.now(UTC)
    for name, expires in {"old": now - DAY, "new": now + DAY}.items():
        Session.objects.create(session_key=name, session_data="", expire_date=expires)
        LoginLimit.objects.create(cache_key=name, value="", expires=expires)
        token = AccessToken(application=bot, scope="features:read", expires=expires)
        set_token_value(token, name)
        token.token = name
        token.save()
    app.loader.import_default_modules()
    for task in ("access.prune", "logins.prune"):
        app.tasks[task].run()
        assert SCHEDULE[task]["schedule"] <= 600
    assert [session.session_key for session in Session.objects.all()] == ["new"]
    assert [token.token for token in AccessToken.objects.all()] == ["new"]
    assert [limit.cache_key for limit in LoginLimit.objects.all()] == ["new"]
