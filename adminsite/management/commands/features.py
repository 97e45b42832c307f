"""Command that writes a catalog to begin with, checks and shows its definitions, and reads a customer's features."""

import json
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from django.core.management.base import BaseCommand, CommandError

from adminsite.starter.writer import StarterError, name_for, write_starter
from featurestore.accesslog.writer import access_log_writer
from featurestore.config import settings
from featurestore.definitions import DefinitionError, Problem
from featurestore.definitions.description import feature_spec, service_spec, view_spec
from featurestore.definitions.pages import feature_page, registry_page, service_page, view_page
from featurestore.identity import IdentifierError, subject_of
from featurestore.installed_catalog import CatalogError, catalog
from featurestore.serving.as_of import AsOfTooEarly
from featurestore.serving.reader import FeatureReader
from featurestore.store.configured import store
from featurestore.store.protocol import StoreUnavailable


class Operator(NamedTuple):
    """Client of a read on the command line, which has the installation's secrets and no key."""

    client: str = "manage.py"
    key_id: str = ""


class Command(BaseCommand):
    help = "Begin a catalog; check, list and show its definitions, record their versions, read a customer's features."
    requires_system_checks = ()  # they import the catalog, whose errors this command reports

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        init = commands.add_parser("init", help="write a catalog of your own to begin with, and what runs it")
        init.add_argument("folder", metavar="DIR", type=Path, help="new or empty folder; no file is replaced")
        init.add_argument("--name", help="name of the module; DIR's and _catalog by default")
        commands.add_parser("check", help="report errors of the definitions: file, line and remedy")
        commands.add_parser("list", help="every service, view and feature")
        show = commands.add_parser("show", help="one service, view or feature")
        show.add_argument("name")
        show.add_argument("--json", action="store_true", help="everything needed to compute the value from raw events")
        commands.add_parser("lock", help="record the fingerprints of new views and versions")
        read = commands.add_parser("read", help="a customer's features, as a client of the API gets them")
        read.add_argument("service")
        read.add_argument("customer", help="customer id")
        read.add_argument("--purpose", required=True)
        read.add_argument("--withheld", choices=["defaults"], help="declared defaults, marked, where nothing is known")
        read.add_argument("--at", help="as of a time after the newest event's, with its zone: 2011-05-31T12:00:00Z")

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        run = {"init": init, "check": check, "list": list_, "show": show, "lock": lock, "read": read}[command]
        try:
            for line in run(options):
                self.stdout.write(line)
        except (CatalogError, DefinitionError, StarterError) as error:
            raise CommandError(str(error)) from error


def init(options: dict[str, Any]) -> Iterator[str]:
    folder: Path = options["folder"]
    name = options["name"] or name_for(folder)
    for path in write_starter(folder, name):
        yield f"wrote {folder / path}"
    yield f"The catalog is {name}; .env names it. Next, in {folder}: rapport features check, then rapport demo."


def check(options: dict[str, Any]) -> Iterator[str]:
    try:
        problems = catalog().problems()
    except DefinitionError as error:
        problems = [Problem(error.defined_at, error.message)]
    for defined_at, message in problems:
        yield f"{defined_at}: {message}"
    if problems:
        raise SystemExit(1)
    views = catalog().registry.views.values()
    yield f"{len(views)} views, {sum(len(view.features) for view in views)} features, no problem"


def list_(options: dict[str, Any]) -> Iterator[str]:
    yield from registry_page(catalog().registry)


def show(options: dict[str, Any]) -> Iterator[str]:
    registry, name = catalog().registry, options["name"]
    features = {feature.name: (view, feature) for view in registry.views.values() for feature in view.features}
    if name in registry.services:
        spec, page = service_spec(registry.services[name]), service_page(registry.services[name])
    elif name in registry.views:
        spec, page = view_spec(registry.views[name]), view_page(registry.views[name])
    elif name in features:
        spec, page = feature_spec(*features[name]), feature_page(*features[name])
    else:
        raise CommandError(f"No service, view or feature is named {name}. `manage.py features list` lists all names.")
    yield from [json.dumps(spec, indent=2, default=str)] if options["json"] else page


def lock(options: dict[str, Any]) -> Iterator[str]:
    for view, versions in catalog().record().items():
        for version in sorted(versions):
            yield f"recorded view {view} version {version}"
    for defined_at, message in catalog().problems():
        yield f"{defined_at}: {message}"


def read(options: dict[str, Any]) -> Iterator[str]:
    services, conf, read_ms = catalog().registry.services, settings(), time.time_ns() // 1_000_000
    if options["service"] not in services:
        raise CommandError(f"No service {options['service']}. The services are {', '.join(services)}.")
    try:
        subject = subject_of(options["customer"], conf.subject_secret.encode())
        answers = FeatureReader(store(), conf.partitions).read(
            services[options["service"]],
            options["purpose"],
            [subject],
            now_ms=read_ms,
            timeout_ms=conf.store_timeout_ms,
            as_of_ms=milliseconds(options["at"]) if options["at"] else None,
            with_defaults=options["withheld"] is not None,
        )
    except AsOfTooEarly as error:
        why = "; ".join(f"view {view}: {cause}" for _, view, cause in error.views)
        raise CommandError(f"There is no exact answer as of {options['at']}: {why}.") from error
    except (IdentifierError, StoreUnavailable) as error:
        raise CommandError(str(error)) from error
    who, what = Operator(), (options["service"], options["purpose"])
    access_log_writer().add_read(
        who, *what, [subject], answers, read_ms, uuid.uuid4().hex
    )  # sent at the process's end at latest
    yield msgspec.json.format(msgspec.json.encode(answers[0])).decode()


def milliseconds(text: str) -> int:
    """Milliseconds of a time in ISO 8601 with its zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CommandError(f"{text} is not a time with a zone: write it as 2011-05-31T12:00:00Z")
    return round(moment.timestamp() * 1000)
