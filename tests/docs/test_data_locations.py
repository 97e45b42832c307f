"""Everything that holds personal data of customers is owned by a data location, or says why it holds none."""

import inspect
import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.db.models import CharField, ForeignKey, Model

from adminsite.celery import app
from adminsite.management.commands.locations import duration_of
from featurestore import names
from featurestore.config import ROOT, Settings
from featurestore.customers.models import Customer
from featurestore.installed_catalog import catalog
from featurestore.locations import Kind, Location, Registry
from featurestore.row_locations import NO_CUSTOMERS, data_locations, our_models, statements_of
from streams import topics

LOCATIONS = data_locations().in_order()
KEY = re.compile(r"""f?["']((?:fs|access|limit|recent-events)[:{][^"'\s]*)["']""")


@pytest.fixture(scope="module")
def locations() -> Registry:
    return data_locations()


def is_owned(registry: Registry, kind: Kind, name: str) -> bool:
    """Whether exactly one of the two holds: some location owns it, or somebody says why it holds no personal data."""
    return bool(registry.owners(kind, name)) != bool(registry.reason_impersonal(kind, name))


MODELS = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_table_is_owned_or_holds_nothing_of_customers(locations: Registry, model: type[Model]) -> None:
    assert is_owned(locations, Kind.TABLE, model._meta.db_table)


def test_folders_of_exports_and_of_emails_are_owned_or_hold_nothing_of_customers(locations: Registry) -> None:
    for folder in (Settings().export_dir, django_settings.EMAIL_FILE_PATH):
        assert is_owned(locations, Kind.FILE, f"{folder}/x"), folder


@pytest.mark.parametrize("model", our_models(), ids=lambda model: model._meta.label)
def test_model_states_its_personal_data_and_their_erasure(locations: Registry, model: type[Model]) -> None:
    statements = statements_of(model)
    assert all(statement.endswith(".") for statement in statements)
    owners = locations.owners(Kind.TABLE, model._meta.db_table)
    assert bool(owners) != statements[0].startswith(NO_CUSTOMERS)
    of_one_table = [one for one in owners if len(one.stored_in) == 1]
    assert all((one.personal_data, one.erased_by) == statements for one in of_one_table), "one statement, not two"


@pytest.mark.parametrize("model", our_models(), ids=lambda model: model._meta.label)
def test_model_that_refers_to_a_customer_does_not_say_that_it_holds_nothing(model: type[Model]) -> None:
    referring = [
        field.name
        for field in model._meta.fields
        if (isinstance(field, CharField) and field.name in {"subject", "customer_id", "identifier"})
        or (isinstance(field, ForeignKey) and field.related_model is Customer)
    ]
    assert not (referring and statements_of(model)[0].startswith(NO_CUSTOMERS))


@pytest.mark.parametrize("generation", [1, 7])
def test_topic_is_owned_or_holds_nothing_of_customers(locations: Registry, generation: int) -> None:
    conf = Settings(generation=generation, journal_topic="consent.journal")
    required = topics.required_topics(conf, catalog().registry.sources)
    assert len(required) > 2 * len(catalog().registry.sources)
    assert [topic.name for topic in required if not is_owned(locations, Kind.TOPIC, topic.name)] == []


def test_topic_names_are_all_made_in_one_module(locations: Registry) -> None:
    made = [names.events("s", 2), names.changelog("s", 2), names.purge(2), names.dead_letters(2), names.clock(2)]
    assert [name for name in made if not is_owned(locations, Kind.TOPIC, name)] == []
    assert all(name.startswith(names.PREFIXES) for name in made)


def keys_in(folder: Path) -> set[str]:
    """The keys of Redis that literals of the code name, with ``*`` in place of what is computed."""
    found = {key for path in folder.rglob("*.py") for key in KEY.findall(path.read_text(encoding="utf-8"))}
    whole = {f"{key}subject}}" if key.endswith("{") else key for key in found if not key.endswith("*}")}
    return {re.sub(r"(?<=:)\{(?!subject)[^}]*\}", "*", key) for key in whole}


@pytest.mark.parametrize(
    ("kind", "packages"),
    [(Kind.STORE_KEY, ("store",)), (Kind.CONTROL_KEY, ("access", "accesslog", "ingest", "api"))],
)
def test_redis_key_is_owned_or_holds_nothing_of_customers(
    locations: Registry, kind: Kind, packages: tuple[str, ...]
) -> None:
    keys = set[str]().union(*(keys_in(ROOT / "featurestore" / package) for package in packages))
    assert keys
    assert [key for key in keys if not is_owned(locations, kind, key)] == []


def test_celery_stores_no_result_and_its_messages_name_nobody() -> None:
    assert app.conf.task_ignore_result
    app.loader.import_default_modules()
    ours = {name: task for name, task in app.tasks.items() if not name.startswith(("celery.", "tests."))}
    assert len(ours) > 5
    assert [name for name, task in ours.items() if inspect.signature(task.run).parameters] == []


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda one: one.name)
def test_location_is_complete(locations: Registry, location: Location) -> None:
    assert locations.in_order().index(location) >= max(
        (locations.in_order().index(locations[name]) for name in location.erased_after), default=0
    )
    assert location.personal_data.endswith(".")
    assert location.erased_by.endswith(".")
    for name in location.derived_from:
        assert locations[name] is not location


PAGE = (ROOT / "docs" / "data-locations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda one: one.name)
def test_page_of_data_locations_has_the_location(location: Location) -> None:
    assert row_of(location) in PAGE


def test_page_of_data_locations_has_them_in_order_and_no_other() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.M) == [location.name for location in LOCATIONS]


def test_page_of_data_locations_has_what_holds_no_personal_data(locations: Registry) -> None:
    rows = [f"| {one.storage.kind} `{one.storage.pattern}` | {one.reason} |" for one in locations.impersonal()]
    assert [row for row in rows if row not in PAGE] == []
    assert len(re.findall(r"^\| (?:table|store key|control key|topic|file) `", PAGE, re.M)) == len(rows)


def row_of(location: Location) -> str:
    """A location's row of the page."""
    stored_in = ", ".join(f"{storage.kind} `{storage.pattern}`" for storage in location.stored_in)
    cells = (f"`{location.name}`", stored_in.replace(f"{ROOT}/", ""), location.personal_data, location.erased_by)
    return f"| {' | '.join(cells)} | {duration_of(location.gone_within())} |"
