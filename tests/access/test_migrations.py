"""An installation that has clients and keys is brought up to date: the toolkit's migrations meet our rows."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.installation import installation

CLIENT = "INSERT INTO access_apiclient (name, owner, description, active) VALUES ('bot', 'chat', '', 1)"
LOOK = "SELECT name, services, purposes, scopes FROM access_apiclient"
CHECK = """
from featurestore.access.models import ApiClient
from featurestore.access.services import create_secret
create_secret(ApiClient.objects.get(name="bot"), actor="tests")
"""


def test_clients_from_before_secrets(tmp_path: Path) -> None:
    with installation(tmp_path, kafka="127.0.0.1:1", store="redis://127.0.0.1:1/0") as made:
        made.manage("migrate", "access", "0002", "--noinput")
        with closing(sqlite3.connect(tmp_path / "rapport.sqlite3")) as database:
            database.execute(CLIENT)
            database.commit()
        made.manage("migrate", "--noinput")
        made.manage("shell", "-c", CHECK)
        with closing(sqlite3.connect(tmp_path / "rapport.sqlite3")) as database:
            assert database.execute(LOOK).fetchall() == [("bot", "[]", "[]", "[]")], "its tokens may do nothing yet"
