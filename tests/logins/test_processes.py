"""Limits over real web processes, with the real password hash, while no Redis answers."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from devservers.installation import NO_SERVER, Installation, installation
from devservers.waiting import eventually

STAFF = """
from django.contrib.auth.models import User
for name in ("olivia", "petra"):
    User.objects.create_user(name, password="a-long-password", is_staff=True)
"""
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two web processes behind one port, without Redis and Kafka."""
    folder = tmp_path_factory.mktemp("logins")
    with installation(folder, kafka=NO_SERVER, store=f"redis://{NO_SERVER}/0") as made:
        made.api_workers = 2
        made.prepare_database()
        made.run("manage.py", "shell", "-c", STAFF)
        made.start("api", *made.api_command)
        eventually(lambda: attempt(made, "nobody", "x").status_code == 200, "the login page is served")
        yield made


def attempt(site: Installation, name: str, password: str) -> httpx.Response:
    """One attempt on a connection of its own."""
    with httpx.Client(base_url=f"http://127.0.0.1:{site.api_port}", timeout=60) as browser:
        try:
            found = TOKEN.search(browser.get("/admin/login/").text)
        except httpx.TransportError:
            return httpx.Response(599)
        assert found
        form = {"csrfmiddlewaretoken": found[1], "login": name, "password": password}
        return browser.post("/admin/login/", data=form)


def test_attempts_at_once_pass_no_limit(site: Installation) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: attempt(site, "olivia", "wrong"), range(12)))
    checked = [answer for answer in answers if "password is wrong" in answer.text]
    refused = [answer for answer in answers if "Too many failed attempts" in answer.text]
    assert 0 < len(checked) <= 5, "one that a busy machine could not check counts as an attempt"
    assert len(refused) == 7
    assert "Too many failed attempts" in attempt(site, "olivia", "a-long-password").text


def test_login_works_while_no_redis_answers(site: Installation) -> None:
    entered = attempt(site, "petra", "a-long-password")
    assert (entered.status_code, entered.headers["Location"]) == (302, "/admin/")


def test_each_web_process_has_one_password_process_of_the_lowest_priority(site: Installation) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: attempt(site, f"name{number}", "wrong"), range(8)))
    server = psutil.Process(site.processes["api"].pid)
    found = [child for child in server.children(recursive=True) if "password_process" in " ".join(child.cmdline())]
    assert 1 <= len(found) <= 2
    assert {child.nice() for child in found} == {19}
    assert len({child.ppid() for child in found}) == len(found)


def test_password_processes_end_with_their_web_process(tmp_path: Path, site: Installation) -> None:
    server = psutil.Process(site.processes["api"].pid)
    children = server.children(recursive=True)
    site.stop()
    eventually(lambda: not [child for child in children if child.is_running()], "every child has ended")
