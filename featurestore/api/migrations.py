"""Migrations that a database lacks: before they ran, a process has tables missing and is not ready."""

import re
from functools import cache
from pathlib import Path

from django.apps import apps
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

NAME = re.compile(r"\d{4}_\w+")


class Applied:
    """Whether the database was seen with every migration: it is asked no more then."""

    complete = False


applied = Applied()


@cache
def shipped_migrations() -> frozenset[tuple[str, str]]:
    """App and name of each migration of the installed apps, by the names of their files: none is imported."""
    return frozenset(
        (app.label, file.stem)
        for app in apps.get_app_configs()
        for file in (Path(app.path) / "migrations").glob("*.py")
        if NAME.fullmatch(file.stem)
    )


def unapplied_migrations() -> list[str]:
    """The shipped migrations that the database lacks, as APP.NAME; none once it has had them all. Raises DatabaseError.

    Further ones, of a newer version that is being rolled out, do not matter.
    """
    if applied.complete:
        return []
    found = MigrationRecorder(connection).applied_migrations()
    missing = sorted(f"{app}.{name}" for app, name in shipped_migrations() - found.keys())
    applied.complete = not missing
    return missing
