"""Command that resets a lost second factor, for an installation whose only superuser has lost theirs."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from featurestore.logins.services import reset_second_factor

ACTOR = "manage.py"


class Command(BaseCommand):
    help = "Delete a staff member's second factors and end their sessions. They set up a new one at the next login."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="user name of the staff member")
        parser.add_argument("--reason", required=True, help="kept in the login events: how you made sure who asks")

    def handle(self, *args: Any, name: str, reason: str, **options: Any) -> None:
        if not (staff := User.objects.filter(username=name).first()):
            raise CommandError(f"There is no staff member {name}.")
        removed = reset_second_factor(staff, actor=ACTOR, reason=reason)
        self.stdout.write(f"Second factors of {name} deleted: {removed}. Their sessions have ended.")
