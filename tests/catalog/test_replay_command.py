"""The command `manage.py replay_retail`: it records customers and consents, and then sends events."""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from adminsite.management.commands import replay_retail
from featurestore.catalog.orders import OrderLine
from featurestore.config import settings
from featurestore.consent.models import ConsentRecord
from featurestore.customers.models import Customer
from featurestore.identity import subject_of
from featurestore.ingest.bulk_sender import NotDelivered
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from tests.kit.stores import vouch

pytestmark = pytest.mark.django_db(transaction=True)

FILE = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1,A,A,6,2010-12-01 08:26:00,2.55,Ann,France
2,B,B,1,2010-12-02 08:26:00,1.00,,France
C3,A,A,-2,2010-12-03 08:26:00,2.55,Ann,France
4,B,B,x,2010-12-03 08:26:00,1.00,Bob,Spain
5,B,B,1,2010-12-04 08:26:00,1.00,Cem,Turkey
"""
START = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


class MemorySender:
    """Event sender that keeps the events, and fails at the event with the number ``failing``."""

    failing: int | None = None

    def __init__(self, _conf: Any) -> None:
        self.sent, self.events = 0, list[dict[str, Any]]()
        MemorySender.last = self

    def send(self, source: Any, customer_id: str, **event: Any) -> None:
        if self.sent == self.failing:
            raise NotDelivered("gone", event["reference"])
        self.sent += 1
        self.events.append({"source": source.name, "customer_id": customer_id, **event})

    def flush(self) -> None:
        pass

    last: "MemorySender"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "retail.csv"
    path.write_text(FILE)
    return path


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStore]:
    made = MemoryStore()
    vouch(made)
    monkeypatch.setattr(configured, "store", lambda: made)
    monkeypatch.setattr(replay_retail, "BulkEventSender", MemorySender)
    monkeypatch.setattr(MemorySender, "failing", None)
    return made


def replay(*arguments: object) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("replay_retail", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def seeded() -> None:
    call_command("seed", stdout=StringIO())


@pytest.mark.usefixtures("seeded")
def test_rows_with_customers_are_sent_and_others_counted(file: Path) -> None:
    out, err = replay(file)
    assert out.startswith("3 events in ")
    assert "1 rows skipped: no customer" in err
    assert "1 rows skipped: Quantity or UnitPrice is no number" in err
    assert "2 customers, 2 new; consents since 2010-12-01 08:26:00+00:00" in err
    first, second, _ = MemorySender.last.events
    assert first["data"] == OrderLine(kind="completed", order_id="1", sku="A", quantity=6, amount=first["data"].amount)
    assert (first["id"], first["origin"], first["time"]) == ("2", "retail/retail.csv?shift_s=0", START)
    assert (second["customer_id"], second["id"], second["data"].kind) == ("Ann", "4", "returned")


@pytest.mark.usefixtures("seeded")
def test_rows_whose_identifier_looks_like_another_are_skipped_and_counted(file: Path) -> None:
    more = ["6,A,A,1,2010-12-05 08:26:00,1.00, Ann,France", "7,A,A,1,2010-12-05 08:26:00,1.00,Ann\u00a0,France"]
    more += ["8 ,A,A,1,2010-12-05 08:26:00,1.00,Ann,France", "9,A,A,1,2010-12-05 08:26:00,1.00,Zoe\u0308,France"]
    file.write_text(FILE + "\n".join(more), encoding="utf-8")
    out, err = replay(file)
    assert out.startswith("3 events in ")
    assert "1 rows skipped: customer_id must not begin with white space or an invisible character: U+0020" in err
    assert "1 rows skipped: customer_id must not end with white space or an invisible character: U+00A0" in err
    assert "1 rows skipped: order_id must not end with white space or an invisible character: U+0020" in err
    assert "1 rows skipped: customer_id must be in Unicode's normal form C" in err
    assert Customer.objects.count() == 2


@pytest.mark.usefixtures("seeded")
def test_customers_get_imported_consents_from_the_first_sale(file: Path, store: MemoryStore) -> None:
    replay(file)
    assert {c.customer_id: (c.region, c.brand, c.since) for c in Customer.objects.all()} == {
        "Ann": ("France", "online-retail", START),
        "Cem": ("Turkey", "online-retail", START),
    }
    records = ConsentRecord.objects.filter(customer__customer_id="Ann")
    assert {(r.purpose.name, r.method, r.since) for r in records} == {
        ("service", "import", START),
        ("personalisation", "import", START),
    }
    subject = subject_of("Ann", settings().subject_secret.encode())
    permission = store.read([subject], [], [], 100).subjects[0].permission
    assert permission is not None
    since_ms = int(START.timestamp() * 1000)
    assert {name: (g.allowed, g.since_ms) for name, g in permission.purposes.items()} == dict.fromkeys(
        ("service", "personalisation", "analytics", "fraud"), (True, since_ms)
    )


@pytest.mark.usefixtures("seeded")
def test_replay_can_shift_times_to_now(file: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    replay(file, "--shift", "now")
    times = [event["time"] for event in MemorySender.last.events]
    assert before <= times[-1] <= datetime.now(UTC)
    assert (times[1] - times[0]).days == 2
    assert Customer.objects.get(customer_id="Ann").since == times[0]


@pytest.mark.usefixtures("seeded")
def test_replay_reads_a_compressed_file(file: Path) -> None:
    packed = file.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(FILE.encode("latin-1")))
    assert replay(packed)[0].startswith("3 events in ")


@pytest.mark.usefixtures("seeded")
def test_failed_replay_names_the_line_to_continue_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemorySender, "failing", 1)
    with pytest.raises(CommandError, match="Resume with --shift 60 --from-line 4"):
        replay(file, "--shift", "60")
    monkeypatch.setattr(MemorySender, "failing", None)
    replay(file, "--shift", "60", "--from-line", "4")
    assert [event["id"] for event in MemorySender.last.events] == ["4", "6"]


@pytest.mark.usefixtures("seeded")
def test_no_event_is_sent_before_permissions_are_published(file: Path, store: MemoryStore) -> None:
    store.restart(emptied=True)
    with pytest.raises(CommandError, match=r"permissions are not in the store yet\. Start manage.py verify_store"):
        replay(file)


def test_replay_without_purposes_names_the_command_to_run(file: Path) -> None:
    with pytest.raises(CommandError, match=r"Run manage\.py seed first"):
        replay(file)
    assert not Customer.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv"], "No such file"),
        ([__file__], "this is not Online Retail"),
        (["x", "--shift", "soon"], '"now", or'),
    ],
)
def test_replay_of_an_invalid_file_or_time_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        replay(*arguments)
