"""After a database was restored from a backup, before anything else is started."""

from typing import Any

from django.core.management.base import BaseCommand

from featurestore.consent import services


class Command(BaseCommand):
    help = "Raise the database's epoch: the store then takes every permission from this database again."

    def handle(self, *args: Any, **options: Any) -> None:
        change_sequence = services.raise_epoch()
        self.stdout.write(
            f"Epoch {change_sequence.epoch}, sequence {change_sequence.sequence}. The voucher now puts everything again."
        )
