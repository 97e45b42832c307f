"""Check of the export folder at the start of the processes that use it: the administration and Celery workers."""

import sys
from pathlib import Path
from typing import Any

from featurestore.config import Settings, settings
from featurestore.requests.export.folder import problem


def export_folder_problem(conf: Settings) -> str:
    """What is wrong with the export folder, and what to do; empty if a process of these settings can use it."""
    if not conf.serves_admin or not (found := problem(Path(conf.export_dir))):
        return ""
    return (
        f"rapport.E040: RAPPORT_EXPORT_DIR, {conf.export_dir}, can't hold exports: {found}. Name a folder that the "
        "administration and the Celery workers share, and that their user alone may enter (chmod 700)."
    )


def refuse_without_export_folder(**_: Any) -> None:
    """Exit with what is wrong. Also a receiver of Celery's start signal, which swallows any other exception."""
    if found := export_folder_problem(settings()):
        sys.exit(found)
