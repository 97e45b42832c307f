"""Schemathesis run over the whole OpenAPI document, with all checks, against a real server.

python -m tests.api.fuzz --max-examples 1000
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from adminsite.demo.servers import embedded_broker
from devservers.installation import Installation, installation
from devservers.redis_server import RedisServer
from devservers.waiting import eventually

CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("fuzz_hooks.py")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@contextlib.contextmanager
def api_of_a_shop(folder: Path) -> Iterator[tuple[Installation, httpx.Client]]:
    """The API with Redis, a store verifier and the demo's broker, a client with all scopes, and C42, who consented."""
    (folder / "logs").mkdir()
    redis = RedisServer(folder / "redis")
    redis.start()
    try:
        with (
            embedded_broker(folder) as kafka,
            installation(folder, kafka=kafka, store=redis.url, journal_topic="", passed_by_topic="") as made,
        ):
            made.prepare_database()
            made.start_store_verifier()
            client = made.start_api()
            eventually(lambda: client.get("/readyz").status_code == 200, "the API is ready")
            client.post("/v1/customers", json={"customer_id": "C42", "region": "Europe", "brand": "lamp"})
            decision = {"purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
            assert client.post("/v1/consents", json={"customer_id": "C42", **decision}).status_code == 201
            yield made, client
    finally:
        redis.stop()


def fuzz(client: httpx.Client, folder: Path, options: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """One run of schemathesis; it ends with another code than 0 if a check failed."""
    command = [str(SCHEMATHESIS), "--config-file", str(CONFIG), "run", f"{client.base_url}/v1/openapi.json"]
    allowed = ["--header", f"Authorization: {client.headers['Authorization']}"]
    return subprocess.run(
        [*command, *allowed, "--checks", "all", "--no-color", *options],
        cwd=folder,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)},
        stdout=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name, api_of_a_shop(Path(name)) as (_, client):
        done = fuzz(client, Path(name), sys.argv[1:])
    print(done.stdout)
    sys.exit(done.returncode)
