"""The command `manage.py features`."""

import json
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from adminsite.management.commands import features
from featurestore.accesslog.writer import AccessLogWriter
from featurestore.config import settings
from featurestore.identity import partition_of, subject_of
from featurestore.installed_catalog import catalog, load_catalog
from featurestore.permission import Permission, PurposePermission
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import Watermark
from tests.kit.access_log import MemoryStream
from tests.kit.stores import vouch

NOW_MS = 1_700_000_000_000

Command = Callable[..., str]


@pytest.fixture(autouse=True)
def access_log(monkeypatch: pytest.MonkeyPatch) -> MemoryStream:
    """The access log, after ``AccessLogWriter.stop``."""
    stream = MemoryStream()
    made = AccessLogWriter(stream, 10**9, lambda: NOW_MS)
    monkeypatch.setattr(features, "access_log_writer", lambda: made)
    return stream


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    unlocked = catalog()._replace(fingerprints=tmp_path / "fingerprints.json")
    monkeypatch.setattr(features, "catalog", lambda: unlocked)

    def call(*arguments: str) -> str:
        out = StringIO()
        try:
            call_command("features", *arguments, stdout=out)
        except SystemExit as end:
            out.write(f"exit {end.code}")
        return out.getvalue()

    return call


def test_check_of_an_unlocked_catalog_reports_every_view(command: Command) -> None:
    lines = command("check").splitlines()
    assert len(lines) == 14 + 1
    assert lines[0].startswith("featurestore/catalog/orders.py:")
    assert lines[0].endswith(": view spend version 1 is not recorded: run `manage.py features lock`")
    assert lines[-1] == "exit 1"


def test_check_passes_after_lock(command: Command) -> None:
    assert "recorded view cart version 1" in command("lock")
    assert command("check").startswith("14 views, ")
    assert command("lock") == ""


MISSPELT = """\
from featurestore.aggregations import Sum
from featurestore.catalog.orders import orders
from featurestore.definitions import FeatureView

spend = FeatureView(
    "spend",
    source=orders,
    purposes={"service"},
    features=[
        Sum("amount").over("30d"),
        Sum("quantty").over("30d"),
    ],
)
"""


def test_check_reports_a_definition_that_fails_to_import(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "misspelt.py").write_text(MISSPELT)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(features, "catalog", lambda: load_catalog("misspelt", tmp_path))
    assert command("check") == (
        f"{tmp_path}/misspelt.py:11: view spend: source orders has no field 'quantty'; "
        "it has kind, order_id, sku, quantity, amount, category\nexit 1"
    )


def test_list_has_services_and_features(command: Command) -> None:
    output = command("list")
    assert output.startswith("support_chat: about, spend, loyalty")
    assert "    cart_intent             DecayedCount half_life=1h where kind is add_to_cart over 1 d\n" in output


@pytest.mark.parametrize(("name", "key"), [("support_chat", "views"), ("cart", "features"), ("tier", "aggregation")])
def test_show_describes_services_views_and_features(command: Command, name: str, key: str) -> None:
    assert command("show", name).startswith(name)
    spec = json.loads(command("show", name, "--json"))
    assert spec["name"] == name
    assert key in spec


def test_show_of_an_unknown_name_refers_to_list(command: Command) -> None:
    with pytest.raises(CommandError, match=r"No service, view or feature is named crat\. `manage.py features list`"):
        command("show", "crat")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    monkeypatch.setattr(features, "store", lambda: store)
    vouch(store)
    subject, conf = subject_of("C42", settings().subject_secret.encode()), settings()
    store.publish_permissions({subject: Permission(1, 1, {"fraud": PurposePermission(True, 1, NOW_MS - 1000)})})
    store.advance_watermark("orders", partition_of(subject, conf.partitions), Watermark(1, 0, NOW_MS, {}))
    return store


@pytest.mark.usefixtures("store")
def test_read_answers_like_the_api(command: Command) -> None:
    answer = json.loads(command("read", "fraud_check", "C42", "--purpose", "fraud", "--at", "2023-11-14T22:13:20Z"))
    assert answer["at"] == "2023-11-14T22:13:20.000Z"
    assert (answer["views"]["order_risk"]["status"], answer["features"]["order_lines_1d"]) == ("stale", None)
    denied = json.loads(command("read", "fraud_check", "C42", "--purpose", "service"))
    assert denied["views"]["order_risk"]["status"] == "withheld"
    assert set(denied["features"].values()) == {None}
    marked = json.loads(command("read", "fraud_check", "C42", "--purpose", "service", "--withheld", "defaults"))
    assert (marked["features"]["order_lines_1d"], marked["views"]["order_risk"]["defaults"]) == (0, True)


@pytest.mark.usefixtures("store")
def test_read_is_recorded_in_the_access_log(command: Command, access_log: MemoryStream) -> None:
    command("read", "fraud_check", "C42", "--purpose", "fraud", "--at", "2023-11-14T22:13:20Z")
    features.access_log_writer().stop()
    batch = access_log.batches[0]
    assert [read.subject for read in batch.reads] == [subject_of("C42", settings().subject_secret.encode())]
    assert (batch.contexts[0].client, batch.contexts[0].service, batch.contexts[0].purpose) == (
        "manage.py", "fraud_check", "fraud",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fraud_chekc", "C42", "--purpose", "fraud"), "No service fraud_chekc. The services are support_chat"),
        (("fraud_check", "", "--purpose", "fraud"), "customer_id must have 1 to 256 characters, not 0"),
        (("fraud_check", "C", "--purpose", "fraud", "--at", "now"), "now is not a time with a zone: write it as"),
        (("fraud_check", "C", "--purpose", "fraud", "--at", "2023-11-14T22:13:20"), "is not a time with a zone"),
    ],
)
@pytest.mark.usefixtures("store")
def test_read_with_invalid_arguments_is_refused(command: Command, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        command("read", *arguments)


def test_read_without_a_store_fails_with_a_message(command: Command, store: MemoryStore) -> None:
    store.available = False
    with pytest.raises(CommandError, match="store"):
        command("read", "fraud_check", "C42", "--purpose", "fraud")
