"""Command line of Rapport: ``rapport X`` of the installed package, and ``manage.py X`` of a checkout.

X is a command of Django or of an app, or one of the programs that run without it or before it:

rapport streams ...                stream worker, topics, republication (python -m streams)
rapport serve | sse ...            API and administration; event streams (python -m adminsite.serve, adminsite.sse)
rapport celery worker | beat ...   background tasks (celery --app adminsite)
"""

import os
import sys

from django.core.management import execute_from_command_line

from featurestore.command_output import quiet_at_a_broken_pipe
from featurestore.definitions import DefinitionError
from featurestore.installed_catalog import CatalogError

PROGRAMS = {
    "streams": ["streams"],
    "serve": ["adminsite.serve"],
    "sse": ["adminsite.sse"],
    "celery": ["celery", "--app", "adminsite"],
}


def main() -> None:
    """Run the command that ``sys.argv`` names. A program replaces this process, so that signals reach it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "adminsite.settings")
    if program := PROGRAMS.get(sys.argv[1] if len(sys.argv) > 1 else ""):
        os.execv(sys.executable, [sys.executable, "-m", *program, *sys.argv[2:]])
    try:
        with quiet_at_a_broken_pipe():
            execute_from_command_line(sys.argv)
    except (CatalogError, DefinitionError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
