"""Command of the keys of subjects: how many each wrapping key wrapped, and rotation to the first one."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.subjectkeys.errors import KeyStoreUnavailable, SubjectKeyError
from featurestore.subjectkeys.key_store import key_store
from featurestore.subjectkeys.rotation import rotate
from featurestore.subjectkeys.wrapping_keys import wrapping_keys


class Command(BaseCommand):
    help = "Show how many subjects' keys each wrapping key wrapped (status), or wrap all by the first one (rotate)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=["status", "rotate"])

    def handle(self, *args: Any, action: str, **_: Any) -> None:
        try:
            if action == "rotate":
                replaced = rotate(self._show)
                self.stdout.write(f"{replaced:,} keys were wrapped again, by {wrapping_keys().first}.")
            known = wrapping_keys().keys
            for key_id, number in sorted(key_store().counts().items()):
                self.stdout.write(f"{key_id}: {number:,} keys" + ("" if key_id in known else ", which nobody can read"))
        except SubjectKeyError as error:
            raise CommandError(str(error)) from None
        except KeyStoreUnavailable as error:
            raise CommandError(f"The key store does not answer: {error}. Is it running?") from None

    def _show(self, done: int, total: int) -> None:
        self.stderr.write(f"{done:,} of {total:,}")
