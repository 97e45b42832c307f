"""Command of compliance reports: list them, export one into a folder, show its manifest signed."""

import getpass
import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.clock import database_now
from featurestore.compliance.errors import ComplianceError
from featurestore.compliance.export import export
from featurestore.compliance.formats import FORMATS
from featurestore.compliance.report import Period
from featurestore.compliance.reports import REPORTS
from featurestore.compliance.signing import signed_manifest


def day(text: str) -> datetime:
    """The begin of a day, in UTC."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day: write 2026-12-01") from None


class Command(BaseCommand):
    help = "List the compliance reports, export one of them with a manifest, or show a manifest signed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="show the reports")
        exported = actions.add_parser("export", help="write a report and its manifest into a folder")
        exported.add_argument("report", choices=REPORTS)
        exported.add_argument("--format", choices=FORMATS, default="csv", help="jsonl: a JSON object a line")
        exported.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="is made if it does not exist")
        exported.add_argument("--since", type=day, metavar="DAY", help="first day, in UTC; default: the beginning")
        exported.add_argument("--until", type=day, metavar="DAY", help="the day after the last; default: now")
        exported.add_argument("--by", default=getpass.getuser(), help="who exports; default: the shell's user")

        signed = actions.add_parser("sign", help="show a manifest signed, a minute after the export")
        signed.add_argument("manifest", type=Path, help="its file must lie beside it")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "list":
            for report in REPORTS.values():
                self.stdout.write(f"{report.name:24}{report.title}")
        elif action == "sign":
            self._sign(**options)
        else:
            self._export(**options)

    def _sign(self, manifest: Path, **_: Any) -> None:
        try:
            signed = signed_manifest(manifest)
        except (ComplianceError, OSError) as error:
            raise CommandError(str(error)) from None
        if signed is None:
            raise CommandError("The manifest is issued, and no tree head covers it yet: run this again in a minute.")
        self.stdout.write(json.dumps(signed, indent=2, ensure_ascii=False))

    def _export(
        self,
        report: str,
        format: str,
        to: Path,
        since: datetime | None,
        until: datetime | None,
        by: str,
        **_: Any,
    ) -> None:
        until = min(until or database_now(), database_now())
        if since and since >= until:
            raise CommandError(f"--since {since:%Y-%m-%d} is not before the end of the period: nothing lies between.")
        try:
            done = export(REPORTS[report], Period(since, until), format, to, by, self._progress)
        except ComplianceError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{done.file}: {done.rows} rows")
        self.stdout.write(f"{done.manifest}: `compliance sign` shows it signed, in a minute")

    def _progress(self, rows: int) -> None:
        self.stderr.write(f"{rows} rows", ending="\r" if self.stderr.isatty() else "\n")
