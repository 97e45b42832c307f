"""Command that issues the signed receipt of a consent record."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.auditlog.services import signed_document
from featurestore.clock import database_now
from featurestore.consent.errors import NoReceipt
from featurestore.consent.receipts import ReceiptForm, receipt_of


class Command(BaseCommand):
    help = "Show the signed receipt of a consent record. The first call issues it; a minute later it is signed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("record", type=int, help="sequence of the consent record")
        parser.add_argument("--form", choices=list(ReceiptForm), default=ReceiptForm.ISO_27560, help="whose form")

    def handle(self, *args: Any, record: int, form: str, **options: Any) -> None:
        try:
            receipt, subject = receipt_of(record, ReceiptForm(form))
        except NoReceipt as error:
            raise CommandError(str(error)) from None
        signed = signed_document("consent_receipt", receipt, subject=subject, actor="operator", now=database_now())
        if signed is None:
            raise CommandError("The receipt is issued, and no tree head covers it yet: run this again in a minute.")
        self.stdout.write(json.dumps(signed, indent=2, ensure_ascii=False))
