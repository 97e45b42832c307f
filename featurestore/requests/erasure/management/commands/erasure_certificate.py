"""Command that issues the signed certificate of an erasure."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.auditlog.services import signed_document
from featurestore.clock import database_now
from featurestore.requests.erasure.certificate_document import certificate_document
from featurestore.requests.erasure.errors import NoCertificate


class Command(BaseCommand):
    help = "Show the signed certificate of an erasure. The first call issues it; a minute later it is signed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("reference", help="reference of the request, or number of the erasure")

    def handle(self, *args: Any, reference: str, **options: Any) -> None:
        try:
            document = certificate_document(reference)
        except NoCertificate as error:
            raise CommandError(str(error)) from None
        signed = signed_document("erasure_certificate", document, subject="", actor="operator", now=database_now())
        if signed is None:
            raise CommandError("The certificate is issued, and no tree head covers it yet: run this again in a minute.")
        self.stdout.write(json.dumps(signed, indent=2, ensure_ascii=False))
