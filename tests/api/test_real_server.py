"""The OpenAPI document and a real server agree: for schemathesis, and for a client that was generated from it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fuzz import api_of_a_shop, fuzz
from tests.installation import Installation

pytestmark = pytest.mark.redis
Shop = tuple[Installation, httpx.Client]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with api_of_a_shop(tmp_path_factory.mktemp("shop")) as made:
        yield made


def test_no_server_error_and_no_undocumented_answer(shop: Shop, tmp_path: Path) -> None:
    """All checks of schemathesis. For more examples: python -m tests.fuzz --max-examples 1000."""
    made, client = shop
    done = fuzz(client, tmp_path, ["--max-examples", "20"])
    assert done.returncode == 0, done.stdout
    assert "Tested: 6" in done.stdout
    requests = [line for line in made.logs("api") if line["event"] == "request"]
    assert len(requests) > 500
    assert [line for line in requests if line["level"] == "error" or line["status"] == 500] == []
