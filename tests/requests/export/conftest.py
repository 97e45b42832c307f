"""Fixtures of exports: an environment with an export folder of its own, and settings that a test may change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from featurestore.access.rate_limiter import rate_limiter
from featurestore.config import Settings, settings
from featurestore.locations import Registry
from featurestore.requests.export import folder
from featurestore.requests.export.services import releases
from tests.kit.exports import ExportEnvironment, use
from tests.kit.requests import RequestsEnvironment
from tests.requests.conftest import env as requests_env

__all__ = ["requests_env"]
ChangeSettings = Callable[..., None]


@pytest.fixture
def change_settings(monkeypatch: pytest.MonkeyPatch) -> ChangeSettings:
    """Change settings of exports for this test."""
    changed: dict[str, Any] = {}

    def change(**values: Any) -> None:
        changed.update(values)
        conf: Settings = settings().model_copy(update=changed)
        for module in (folder, releases):
            monkeypatch.setattr(module, "settings", lambda: conf)

    return change


@pytest.fixture
def exports(
    requests_env: RequestsEnvironment,
    tmp_path: Path,
    change_settings: ChangeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> ExportEnvironment:
    rate_limiter.cache_clear()
    registry = Registry()
    use(monkeypatch, registry)
    change_settings(export_dir=str(tmp_path / "exports"))
    return ExportEnvironment(requests_env, registry, tmp_path / "exports")
