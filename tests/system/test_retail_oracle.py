"""Real retail data through Kafka, Faust, Redis and the API: every feature equals DuckDB's over the raw rows."""

import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from redis import Redis

from devservers.installation import Installation, installation
from devservers.waiting import eventually
from featurestore.config import ROOT
from tests.kit.oracle import Mismatch, mismatches

DATA = Path(os.environ.get("RAPPORT_TEST_DATA", ROOT.parent / "shared" / "data"))
RETAIL = DATA / "online_retail_2010-12_to_2011-05.csv.gz"
BATCH = 100
AS_OF_AGO_MS = 10 * 86_400_000
READS = {"support_chat": "service", "sales_chat": "personalisation", "fraud_check": "fraud"}


@pytest.fixture(scope="module")
def retail(kafka: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
    with installation(tmp_path_factory.mktemp("retail"), kafka=kafka, store=redis_server) as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        yield made


def shift_to_now_s() -> int:
    """Seconds from the file's last sale to now."""
    query = "SELECT max(epoch(InvoiceDate))::BIGINT FROM read_csv(?, header=true)"
    return int(time.time()) - duckdb.execute(query, [str(RETAIL)]).fetchone()[0]


def raw_rows(shift_s: int) -> duckdb.DuckDBPyConnection:
    """The file's rows of known customers, moved in time, as the oracle wants them."""
    db = duckdb.connect()
    db.execute(
        """
        CREATE TABLE rows AS
        SELECT row_number() OVER () + 1 AS line, * FROM read_csv(?, header=true, parallel=false, ignore_errors=false,
            encoding='utf-8', types={'InvoiceNo': 'VARCHAR', 'StockCode': 'VARCHAR', 'CustomerID': 'VARCHAR',
            'UnitPrice': 'DECIMAL(18,4)', 'Quantity': 'BIGINT', 'InvoiceDate': 'TIMESTAMP'})
        """,
        [str(RETAIL)],
    )
    origin = f"retail/{RETAIL.name}?shift_s={shift_s}"
    lines = [line for (line,) in db.execute("SELECT line FROM rows ORDER BY line").fetchall()]
    named = [f"{len(origin)}|{origin}|{n}".encode() for n in lines]
    hashes = [int.from_bytes(blake2b(name, digest_size=8).digest(), "big") >> 1 for name in named]
    db.execute(
        "CREATE TABLE hashes AS SELECT unnest(?::BIGINT[]) AS line, unnest(?::BIGINT[]) AS event_id_hash",
        [lines, hashes],
    )
    db.execute(
        """
        CREATE TABLE events AS
        SELECT CustomerID AS customer, epoch_ms(InvoiceDate) + ?::BIGINT * 1000 AS t_ms, event_id_hash,
            CASE WHEN InvoiceNo LIKE 'C%' THEN 'returned' ELSE 'completed' END AS kind,
            InvoiceNo AS order_id, StockCode AS sku, Quantity AS quantity,
            CAST(Quantity * UnitPrice AS DECIMAL(18,4)) AS amount, NULL::VARCHAR AS category
        FROM rows JOIN hashes USING (line) WHERE CustomerID IS NOT NULL
        """,
        [shift_s],
    )
    return db


Answers = Iterator[tuple[str, dict[str, Any]]]


def read_all(client: httpx.Client, service: str, purpose: str, customers: list[str]) -> Answers:
    for start in range(0, len(customers), BATCH):
        batch = customers[start : start + BATCH]
        body = {"service": service, "purpose": purpose, "customer_ids": batch, "timeout_ms": 2_000}
        response = client.post("/v1/features/batch", json=body)
        assert response.status_code == 200, response.text
        yield from zip(batch, response.json()["results"], strict=True)


@pytest.mark.timeout(1800)
def test_every_feature_equals_the_oracles_over_the_raw_rows(
    retail: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    if not RETAIL.exists():
        pytest.skip(f"{RETAIL.name} is not beside this checkout (RAPPORT_TEST_DATA names its folder)")
    eventually(lambda: replay_can_start(retail), "the store is vouched for")
    shift_s = shift_to_now_s()
    retail.manage("replay_retail", RETAIL, "--shift", str(shift_s))
    db = raw_rows(shift_s)
    customers = [name for (name,) in db.execute("SELECT DISTINCT customer FROM events ORDER BY 1").fetchall()]
    sent_ms = time.time() * 1000
    client = retail.start_api()
    eventually(lambda: folded_to_ms(client, customers) >= sent_ms, "all events are folded and pushed", within_s=180)

    specs = {
        spec["name"]: spec
        for view in ("spend", "loyalty", "taste", "returns", "order_risk")
        for spec in json.loads(retail.manage("features", "show", view, "--json").stdout)["features"]
    }
    compared, wrong = 0, list[Mismatch]()
    for service, purpose in READS.items():
        by_time: dict[int, dict[str, dict[str, Any]]] = {}
        for customer, answer in read_all(client, service, purpose, customers):
            views = answer["views"].values()
            assert {view["status"] for view in views} <= {"present", "missing"}, answer["views"]
            assert {view["reason"] for view in views} == {None}, "no view of a real customer is cut"
            assert not any("unchecked_until" in view for view in views)
            by_time.setdefault(ms(answer["at"]), {})[customer] = answer["features"]
        for now_ms, answers in by_time.items():
            for name in specs.keys() & next(iter(answers.values())).keys():
                served = {customer: features[name] for customer, features in answers.items()}
                wrong += mismatches(db, specs[name], served, now_ms)
                compared += len(served)
    earlier_ms = ms(datetime.now(UTC).isoformat()) - AS_OF_AGO_MS
    last_ms = dict(db.execute("SELECT customer, max(t_ms) FROM events GROUP BY customer").fetchall())
    as_of = dict(read_as_of(client, customers, earlier_ms))
    assert as_of.keys() == {customer for customer in customers if last_ms[customer] // 1000 * 1000 + 999 <= earlier_ms}
    db.execute("DELETE FROM events WHERE t_ms > ?", [earlier_ms])
    for name in next(iter(as_of.values())):
        served = {customer: features[name] for customer, features in as_of.items()}
        wrong += mismatches(db, specs[name], served, earlier_ms)
        compared += len(served)

    with capsys.disabled():
        print(f"\nretail oracle: {len(customers):,} customers, {compared:,} values compared, {len(wrong)} mismatches")
    assert 100 < len(as_of) < len(customers)
    assert compared > 50_000
    assert wrong[:20] == []


def read_as_of(client: httpx.Client, customers: list[str], as_of_ms: int) -> Answers:
    """The features of those customers who have an exact answer as of a time: all whom a refusal does not name."""
    as_of = datetime.fromtimestamp(as_of_ms / 1000, UTC).isoformat()
    for start in range(0, len(customers), BATCH):
        batch = customers[start : start + BATCH]
        question = {"service": "fraud_check", "purpose": "fraud", "timeout_ms": 2_000, "as_of": as_of}
        response = client.post("/v1/features/batch", json=question | {"customer_ids": batch})
        if response.status_code == 422:
            assert response.json()["detail"].startswith("view order_risk: events came later. ")
            named = {int(at) for at in re.findall(r"customer_ids\[(\d+)\]", response.json()["detail"])}
            batch = [customer for at, customer in enumerate(batch) if at not in named]
            response = client.post("/v1/features/batch", json=question | {"customer_ids": batch})
        assert response.status_code == 200, response.text
        yield from zip(batch, (answer["features"] for answer in response.json()["results"]), strict=True)


def replay_can_start(retail: Installation) -> bool:
    return any(line.get("state") == "vouching" for line in retail.logs("store-verifier"))


def folded_to_ms(client: httpx.Client, customers: list[str]) -> float:
    """The time up to which every customer's answer is complete; 0 while one is not."""
    oldest = float("inf")
    for _, answer in read_all(client, "fraud_check", "fraud", customers):
        for view in answer["views"].values():
            if view["age_s"] is None:
                return 0
            oldest = min(oldest, ms(answer["at"]) - view["age_s"] * 1000)
    return oldest


def ms(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
