"""Command that evicts idle subjects at once, or tells what an eviction would free."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.config import settings
from featurestore.retention import evictions
from featurestore.retention.errors import RetentionError

MEBIBYTE = 2**20


class Command(BaseCommand):
    help = (
        "Delete the values of customers without an event or a read for some days from the store. Their permissions "
        "stay; the next event or read brings the values back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="tell what would be evicted, and evict nothing")
        parser.add_argument(
            "--days", type=int, help="idle for so many days; default: RAPPORT_IDLE_SUBJECT_DAYS. Fewer in an emergency"
        )
        parser.add_argument(
            "--by", default=getpass.getuser(), help="the name of who decides; default: the shell's user"
        )

    def handle(self, *args: Any, dry_run: bool, days: int | None, by: str, **options: Any) -> None:
        idle_days = settings().idle_subject_days if days is None else days
        if not idle_days:
            raise CommandError("RAPPORT_IDLE_SUBJECT_DAYS is 0, nobody is evicted: state --days.")
        try:
            started = evictions.start(idle_days, dry_run=dry_run, actor=by)
        except RetentionError as error:
            raise CommandError(str(error)) from None
        while started.finished_at is None:
            run = evictions.evict_due()
            if run is None:
                raise CommandError("A background task is at work on an eviction run; it carries out this one, too.")
            if run.error:
                raise CommandError(f"{run.error} The run goes on by itself when it does.")
            started.refresh_from_db()
        verb, freed = "would be evicted" if dry_run else "evicted", started.freed_bytes / MEBIBYTE
        self.stdout.write(
            f"{started.subjects:,} subjects looked at: {started.evicted:,} {verb}, {freed:,.1f} MiB of values. "
            f"{started.kept_read:,} without an event stay, because they were read."
        )
