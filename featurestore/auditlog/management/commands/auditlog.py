"""Command of the audit log: verify it, prove an entry, export it for others, show its keys and its last tree head."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.auditlog import export, selectors
from featurestore.auditlog.errors import AuditLogError
from featurestore.auditlog.log_verifier import Note, Unreadable, Verification, kept_heads, parse_key_text


class Command(BaseCommand):
    help = "Verify the audit log (exit code 1 if something does not hold), prove an entry, export it, show its keys."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        verify = actions.add_parser("verify", help="verify every entry, its content and every tree head")
        verify.add_argument("--trust", action="append", default=[], metavar="KEY", help="a key that was kept elsewhere")
        verify.add_argument("--head", action="append", default=[], metavar="FILE", help="tree heads that were kept")
        prove = actions.add_parser("prove", help="show an entry with its proof, or the proof that the log only grew")
        which = prove.add_mutually_exclusive_group(required=True)
        which.add_argument("--entry", type=int, metavar="N", help="number of the entry")
        which.add_argument("--since", type=int, metavar="SIZE", help="entries of an older tree head")
        written = actions.add_parser("export", help="write the log for log_verifier.py, which runs alone")
        written.add_argument("file", help="file that is written, a JSON object a line")
        actions.add_parser("keys", help="show the public keys, to be published")
        actions.add_parser("head", help="show the last tree head, to be kept elsewhere")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            getattr(self, f"_{action}")(**options)
        except (AuditLogError, Unreadable, OSError) as error:
            raise CommandError(str(error)) from None

    def _verify(self, trust: list[str], head: list[str], **_: Any) -> None:
        verification = Verification(trust, [one for path in head for one in kept_heads(path)])
        for finding in export.verify(verification):
            self.stdout.write(finding)
        self.stdout.write(verification.summary())
        if verification.findings:
            raise CommandError("The audit log does not hold.")

    def _prove(self, entry: int | None, since: int | None, **_: Any) -> None:
        found = selectors.proof_of_growth(since or 0) if entry is None else selectors.proof_of_entry(entry)
        self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))

    def _export(self, file: str, **_: Any) -> None:
        with open(file, "w", encoding="utf-8") as opened, export.snapshot():
            for line in export.lines():
                opened.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _keys(self, **_: Any) -> None:
        for note in export.key_notes():
            self.stdout.write(str(parse_key_text(Note.parse(note).text)))

    def _head(self, **_: Any) -> None:
        if not (head := selectors.last_head()):
            raise CommandError("No tree head was signed yet: is Celery running?")
        self.stdout.write(head.note, ending="")
