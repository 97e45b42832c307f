"""Command that prints the OpenAPI document, or records it if no client would break."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from featurestore.api.compatibility import breaking
from featurestore.api.documents import with_features
from featurestore.api.urls import api
from featurestore.config import ROOT
from featurestore.installed_catalog import catalog

ACCEPTED = ROOT / "docs" / "openapi.json"


class Command(BaseCommand):
    help = (
        "Print the OpenAPI document; with --service, its features typed; with --accept, record it as the promised API."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--service", action="append", choices=list(catalog().registry.services), help="may be repeated"
        )
        parser.add_argument("--accept", action="store_true", help=f"write {ACCEPTED.name}, if no client would break")

    def handle(self, *args: Any, service: list[str] | None, accept: bool, **options: Any) -> None:
        if accept:
            self.accept()
            return
        found = json.loads(json.dumps(api.get_openapi_schema()))
        if service:
            found = with_features(found, [catalog().registry.services[name] for name in service])
        self.stdout.write(json.dumps(found, indent=2))

    def accept(self) -> None:
        if not ACCEPTED.parent.exists():
            raise CommandError("The promised API is recorded in a checkout of Rapport, by its developers.")
        document = promised()
        if ACCEPTED.exists() and (broken := breaking(json.loads(ACCEPTED.read_text()), document)):
            raise CommandError("\n".join(["This would break clients of /v1 (docs/versioning.md):", *broken]))
        ACCEPTED.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
        self.stdout.write(f"Wrote {ACCEPTED.relative_to(ROOT)}.")


def promised() -> dict[str, Any]:
    """The document without its examples, which are no promise."""
    promise: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
    contents = [
        content
        for methods in promise["paths"].values()
        for operation in methods.values()
        for body in [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in body.get("content", {}).values()
    ]
    for content in contents:
        content.pop("examples", None)
    return promise
