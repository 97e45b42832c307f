"""Command that starts an erasure for a request, and shows how far erasures are, location by location."""

import getpass
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.requests.actors import staff
from featurestore.requests.erasure.certificate import title_of
from featurestore.requests.erasure.models import Erasure
from featurestore.requests.erasure.starting import start
from featurestore.requests.errors import RequestError

MOST = 100


class Command(BaseCommand):
    help = "Start the erasure that a verified request asks for, and show how far erasures are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        listed = commands.add_parser("list", help="the erasures that are not closed, the newest first")
        listed.add_argument("--all", action="store_true", help="also those that are closed")
        shown = commands.add_parser("show", help="one erasure, location by location")
        started = commands.add_parser("start", help="start one. It can't be undone")
        started.add_argument("--source", action="append", default=[], help="erase events of this source only")
        started.add_argument(
            "--by", default=getpass.getuser(), help="the name of who decides; default: the shell's user"
        )
        for one in (shown, started):
            one.add_argument("reference", help="of the request, as R-7K2M-9QXD")

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        match command:
            case "list":
                self.list(everything=options["all"])
            case "show":
                self.show(options["reference"])
            case "start":
                try:
                    start(options["reference"], staff(options["by"]), options["source"])
                except RequestError as error:
                    raise CommandError(str(error)) from None
                self.show(options["reference"])

    def list(self, *, everything: bool) -> None:
        rows = Erasure.objects.select_related("request")
        for erasure in rows if everything else rows.exclude(state=Erasure.State.CLOSED)[:MOST]:
            self.stdout.write(
                f"{erasure}  {erasure.state}  started {erasure.started_at:%Y-%m-%d %H:%M}  {erasure.waiting_for}"
            )

    def show(self, reference: str) -> None:
        erasure = Erasure.objects.select_related("request").filter(request__reference=reference).first()
        if erasure is None:
            raise CommandError("No erasure was started for a request of this reference.")
        self.stdout.write(f"{erasure}  {erasure.get_state_display()}  {erasure.waiting_for}")
        for step in erasure.steps.all():
            until = f"  gone by {step.gone_at:%Y-%m-%d %H:%M}" if step.gone_at and step.state == "waits" else ""
            self.stdout.write(
                f"  {title_of(step.location)}: {step.get_state_display()} since {step.since:%Y-%m-%d %H:%M}"
                f"  erased {step.erased}  kept {step.kept}  traces {step.traces} of {step.looked_at}{until}"
                f"  {step.last_error}".rstrip()
            )
