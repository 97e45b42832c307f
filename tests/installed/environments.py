"""Environments of programs that a user starts: without the settings of the tests."""

import os


def without_settings() -> dict[str, str]:
    """This process's environment, without settings of Rapport, Django and pytest."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAPPORT_", "PYTEST_"))}
    for name in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH"):
        inherited.pop(name, None)
    return inherited
