"""Fixtures of logins: staff of each role, and second factors required."""

import pytest
from django.core.cache import cache

from featurestore.config import settings
from tests.admin.conftest import env as env
from tests.admin.environment import AdminEnvironment


@pytest.fixture
def staff(env: AdminEnvironment, monkeypatch: pytest.MonkeyPatch) -> AdminEnvironment:
    """The administration's environment, where roles that see customers need a second factor."""
    cache.clear()
    monkeypatch.setitem(settings().__dict__, "second_factor", "required")
    return env
