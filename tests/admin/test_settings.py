"""Database settings that only a real server shows."""

import os
import subprocess
import sys

from featurestore.config import ROOT

PRINT_SOCKET_OPTIONS = """
import os, socket
import django
django.setup()
from django.db import connection
connection.ensure_connection()
with socket.socket(fileno=os.dup(connection.connection.fileno())) as link:
    print(link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    for option in (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
        print(link.getsockopt(socket.IPPROTO_TCP, option))
"""


def test_lost_database_connection_ends_within_seconds(postgres: str) -> None:
    env = {**os.environ, "RAPPORT_DATABASE_URL": postgres, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    run = subprocess.run(
        [sys.executable, "-c", PRINT_SOCKET_OPTIONS], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    keepalive, user_timeout_ms, idle_s, interval_s, count = map(int, run.stdout.split())
    assert keepalive
    assert user_timeout_ms <= 10_000
    assert idle_s + interval_s * count <= 10
