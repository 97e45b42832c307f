"""Feast's feature store of the bench: twenty doubles a customer in Redis, beside it the same precomputed.

    var/bench/feast/bin/python feast_store.py FOLDER REDIS_HOST:PORT CUSTOMERS

Runs in Feast's own environment and makes a repository in FOLDER, for ``feast serve`` there.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64
from feast.value_type import ValueType

FEATURES = [f"feature_{number}" for number in range(20)]
CONFIG = """\
project: bench
registry: registry.db
provider: local
online_store: {{type: redis, connection_string: "{redis}"}}
offline_store: {{type: file}}
entity_key_serialization_version: 3
auth: {{type: no_auth}}
"""


def main(folder: Path, redis: str, customers: int) -> None:
    (folder / "feature_store.yaml").write_text(CONFIG.format(redis=redis), encoding="utf-8")
    now = datetime.now(UTC)
    frame = pd.DataFrame({"customer_id": [f"C{number}" for number in range(customers)], "event_timestamp": now})
    for place, name in enumerate(FEATURES):
        frame[name] = [number * 1.37 + place for number in range(customers)]
    frame.to_parquet(folder / "values.parquet")
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="spend",
        entities=[customer],
        ttl=timedelta(days=400),
        schema=[Field(name=name, dtype=Float64) for name in FEATURES],
        source=FileSource(path=str(folder / "values.parquet"), timestamp_field="event_timestamp"),
        online=True,
    )
    services = [
        FeatureService(name="plain", features=[view]),
        FeatureService(name="precomputed", features=[view], precompute_online=True),
    ]
    store = FeatureStore(repo_path=str(folder))
    store.apply([customer, view, *services])
    store.write_to_online_store("spend", frame)
    print(store.precompute_feature_service("precomputed"), "vectors precomputed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
