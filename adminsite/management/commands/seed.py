"""Command that creates the purposes, notice and roles of a new installation. It can be repeated."""

from typing import Any

from django.core.management.base import BaseCommand

from featurestore.access.services import seed_roles
from featurestore.catalog.purposes import PURPOSES
from featurestore.consent import services

NOTICE = "\n\n".join(f"{purpose.title}. {purpose.description}" for purpose in PURPOSES)


class Command(BaseCommand):
    help = "Define the catalog's purposes, publish the notice privacy/1/en, which explains them, and set up the roles."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, title, basis, description in PURPOSES:
            services.define_purpose(name, title=title, lawful_basis=basis, description=description)
        notice = services.publish_notice("privacy", 1, "en", NOTICE, [purpose.name for purpose in PURPOSES])
        services.backfill_purposes()
        roles = ", ".join(group.name for group in seed_roles())
        self.stdout.write(f"{len(PURPOSES)} purposes, notice {notice.reference}, roles {roles}")
