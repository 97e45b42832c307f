"""Command that fills the demo's database: purposes, a notice, a login, an API key, customers who consent to all."""

import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand

from adminsite.demo.credentials import Credentials
from featurestore.access.scopes import Scope
from featurestore.access.services import create_client, create_key
from featurestore.consent.models import Notice
from featurestore.consent.permission_derivation import Decision
from featurestore.consent.services import Choice, record_decisions
from featurestore.definitions import LawfulBasis
from featurestore.installed_catalog import catalog
from featurestore.profiles.services import Registration, register_many

ACTOR = "demo"
REGIONS = ("Europe", "America", "Asia")
CUSTOMERS = 40


class Command(BaseCommand):
    help = "Fill a new database for the demo, and write login and API key to a file that only its owner may read."
    requires_system_checks = ()  # some of them query the database, which is still empty

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--url", required=True)

    def handle(self, *args: Any, file: Path, url: str, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        call_command("seed", stdout=self.stdout)
        customers = [f"C{number}" for number in range(1, CUSTOMERS + 1)]
        notice = Notice.objects.earliest("published_at").reference
        register_with_consents(customers, notice)
        password = secrets.token_urlsafe(12)
        User.objects.create_superuser("admin", password=password)
        client = create_client("demo", owner="the demo", actor=ACTOR, description="The simulated shop, and your curl.")
        _, key = create_key(
            client,
            services=catalog().registry.services,
            purposes=[purpose.name for purpose in catalog().purposes],
            scopes=list(Scope),
            actor=ACTOR,
        )
        Credentials(url, "admin", password, key, notice, customers).save(file)


def register_with_consents(customers: list[str], notice: str) -> None:
    """Register the customers and record their consents."""
    register_many(Registration(c, REGIONS[i % len(REGIONS)], "demo") for i, c in enumerate(customers))
    purposes = [purpose.name for purpose in catalog().purposes if purpose.basis is LawfulBasis.CONSENT]
    record_decisions(
        [Choice(c, purpose, Decision.GIVEN, "web", ACTOR, notice) for c in customers for purpose in purposes]
    )
