"""Command that makes a restored database win over the store. Run it before anything else is started."""

from typing import Any

from django.core.management.base import BaseCommand

from featurestore.consent import services


class Command(BaseCommand):
    help = "Raise the database epoch after a restore: the store then accepts every permission from this database again."

    def handle(self, *args: Any, **options: Any) -> None:
        change_sequence = services.raise_epoch()
        self.stdout.write(
            f"Epoch {change_sequence.epoch}, sequence {change_sequence.sequence}. "
            "The store verifier now publishes every permission again."
        )
