"""A process of the API alone: it answers its pages without what only the administration needs."""

import os
import subprocess
import sys

from featurestore.config import ROOT

ASK = """
import sys
import django
django.setup()
from django.test import Client
client = Client(HTTP_HOST="localhost")
print(*(client.get(page).status_code for page in ("/v1/docs", "/v1/openapi.json", "/admin/", "/admin/login/")))
print(*sorted({"allauth", "fido2", "unfold", "celery"} & set(sys.modules)))
"""


def test_process_of_the_api_serves_no_login_and_loads_none() -> None:
    env = {**os.environ, "RAPPORT_SERVES": "api", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    run = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["200 200 404 404", ""]
