"""Command that creates the purposes, notice and roles of a new installation. It can be repeated."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.access.services import seed_roles
from featurestore.consent import services
from featurestore.consent.errors import ImmutableRecord, PurposeChanged
from featurestore.installed_catalog import catalog


class Command(BaseCommand):
    help = "Define the catalog's purposes, publish the notice privacy/VERSION/en of them, set up the roles."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--notice-version", type=int, default=1, help="raise it after a change of the purposes")

    def handle(self, *args: Any, notice_version: int, **options: Any) -> None:
        purposes = catalog().purposes
        text = "\n\n".join(f"{purpose.title}. {purpose.description}" for purpose in purposes)
        try:
            for name, title, basis, description in purposes:
                services.define_purpose(name, title=title, lawful_basis=basis, description=description)
            notice = services.publish_notice("privacy", notice_version, "en", text, [name for name, *_ in purposes])
        except PurposeChanged as error:
            raise CommandError(f"{error} Rename it in the catalog's PURPOSES, and where its views name it.") from error
        except ImmutableRecord as error:
            hint = f"manage.py seed --notice-version {notice_version + 1}"
            raise CommandError(f"{error} The catalog's purposes have changed since: {hint}") from error
        services.backfill_purposes()
        roles = ", ".join(group.name for group in seed_roles())
        self.stdout.write(f"{len(purposes)} purposes, notice {notice.reference}, roles {roles}")
