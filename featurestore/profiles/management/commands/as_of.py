"""Command that shows what a customer allowed at a past time and who read what, and has it signed."""

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.auditlog.services import signed_document
from featurestore.clock import database_now
from featurestore.consent.errors import ConsentError
from featurestore.profiles.as_of_document import KIND, as_of_document, customer_of
from featurestore.profiles.errors import UnknownClient


def time_of(text: str) -> datetime:
    """A time with its zone. Raises ArgumentTypeError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is no time: write 2026-11-22T12:00:00Z") from None
    if found.tzinfo is None:
        raise ArgumentTypeError(f"{text} has no time zone: write {text}Z for UTC")
    return found


class Command(BaseCommand):
    help = "Show what a customer allowed at a past time, and who read what on the day before it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("customer", help="the customer's id, or subject")
        parser.add_argument("time", type=time_of, help="2026-11-22T12:00:00Z")
        parser.add_argument("--client", default="", help="only what this API client could know, and read")
        parser.add_argument("--sign", action="store_true", help="issue it as a signed document; a minute later it is")

    def handle(self, *args: Any, customer: str, time: datetime, client: str, sign: bool, **options: Any) -> None:
        try:
            found, subject = as_of_document(customer_of(customer), time, client)
        except (ConsentError, UnknownClient) as error:
            raise CommandError(str(error)) from None
        if sign:
            signed = signed_document(KIND, found, subject=subject, actor="operator", now=database_now())
            if signed is None:
                raise CommandError(
                    "The document is issued, and no tree head covers it yet: run this again in a minute."
                )
            found = signed
        self.stdout.write(json.dumps(found, indent=2, ensure_ascii=False))
