"""The wheel, installed outside of the checkout: it holds everything, and docs/own-catalog.md works with it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devservers.ports import free_port
from devservers.waiting import eventually
from featurestore.config import ROOT
from tests.docs.pages import Block, blocks
from tests.installed.environments import without_settings

PACKAGES = ("featurestore", "streams", "adminsite", "devservers")
FOR_CHECKOUTS = ("kafka", "file_search")
"""Packages of devservers that need programs or libraries of a checkout."""
SOURCES = (*PACKAGES, "deploy", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
PAGE = ROOT / "docs" / "own-catalog.md"
READY_S = 240
READ_AGAIN_S = 30.0  # an event that was accepted is readable within milliseconds, on a machine that is not busy


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / name, ignore=ignored) if source.is_dir() else shutil.copy(source, folder)
    subprocess.run([sys.executable, "-c", BUILD, folder / "dist"], cwd=folder, check=True, capture_output=True)
    return next((folder / "dist").iterdir())


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    packages = next(folder.glob("lib/*/site-packages"))
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", folder / "bin" / "python"]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", "--no-compile", wheel], check=True)
    return folder


def test_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.parent.name not in FOR_CHECKOUTS
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert expected - names == set()
    assert {name for name in names - expected if "-0.2.0." not in name} == set()


def test_wheel_has_the_rules_and_dashboards(installed: Path) -> None:
    for part in ("prometheus", "grafana"):
        folder = ROOT / "deploy" / part
        expected = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        shared = installed / "share" / "rapport" / part
        assert {path.relative_to(shared) for path in shared.rglob("*") if path.is_file()} == expected


class Terminal:
    """Shell in a folder with the installed package: it keeps its folder and variables from block to block."""

    def __init__(self, installed: Path, folder: Path) -> None:
        self.folder, self.state, self.assignments = folder, folder / ".state", list[str]()
        self.environment = without_settings() | {"PATH": f"{installed / 'bin'}:{os.environ['PATH']}"}
        self.ports = {"8000": str(free_port()), "8002": str(free_port())}

    def run(self, command: str) -> str:
        for documented, port in self.ports.items():
            command = command.replace(f"localhost:{documented}", f"localhost:{port}")
        if re.match(r"[A-Z]+=", command):
            self.assignments.append(command)
        script = "\n".join([*self.assignments, command, f"status=$?; pwd > {self.state}; exit $status"])
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        self.folder = Path(self.state.read_text().strip())
        return done.stdout

    @contextmanager
    def background(self, command: str) -> Iterator[Path]:
        """A command in a terminal of its own, stopped by Ctrl-C; what it prints."""
        output = self.folder / "var" / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            yield output
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def pattern_of(expected: str) -> str:
    return re.escape(expected).replace("…", "[^\n]*")


def transcript(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with what it prints."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = next((i for i, line in enumerate(lines[1:], 1) if not line.startswith("    ")), len(lines))
        yield "".join(lines[:end]).rstrip("\n"), "".join(lines[end:])


def apply(block: Block, folder: Path) -> None:
    """Make the edit that a diff block shows, which must fit once."""
    header, *lines = block.text.splitlines()
    file = folder / header.removeprefix("--- ")
    before = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    after = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    text = file.read_text()
    assert text.count(before) == 1, f"{PAGE.name}:{block.line}"
    file.write_text(text.replace(before, after))


def check(block: Block, terminal: Terminal) -> None:
    """Run a block's commands; each prints what the page shows. A read is repeated until its event has arrived."""
    for command, expected in transcript(block):
        printed: list[str] = []

        def is_as_shown(command: str = command, expected: str = expected, printed: list[str] = printed) -> bool:
            printed.append(terminal.run(command))
            return re.fullmatch(pattern_of(expected.rstrip("\n")), printed[-1].rstrip("\n")) is not None

        if "/v1/features " in command:
            eventually(is_as_shown, f"{PAGE.name}:{block.line}: {command}", READ_AGAIN_S, 0.5)
        else:
            assert is_as_shown(), f"{PAGE.name}:{block.line}: {command}\n{printed[-1]}"


@pytest.mark.timeout(600)
def test_own_catalog_page_works_in_an_empty_folder(wheel: Path, installed: Path, tmp_path: Path) -> None:
    first, *rest = [block for block in blocks(PAGE) if block.language in ("console", "diff")]
    assert first.note == "install"
    assert f"pip install '{wheel.name}[demo]'" in first.text
    terminal = Terminal(installed, tmp_path)
    demo = next(block for block in rest if block.note == "demo")
    for block in rest[: rest.index(demo)]:
        apply(block, terminal.folder) if block.language == "diff" else check(block, terminal)
    ((command, _),) = transcript(demo)
    api_port, sse_port = terminal.ports.values()
    with terminal.background(f"{command} --port {api_port} --sse-port {sse_port}") as output:
        eventually(lambda: "Rapport is running" in output.read_text(), f"the demo of {output} runs", READY_S, 0.3)
        for block in rest[rest.index(demo) + 1 :]:
            check(block, terminal)
        page = terminal.run("curl -s localhost:8000/static/rapport/admin.css; curl -sL localhost:8000/admin/")
        assert "--" in page
        assert 'name="password"' in page
        assert "support_chat" not in terminal.run("curl -s localhost:8000/v1/openapi.json")
        assert "bookings" in terminal.run("curl -s localhost:8000/v1/openapi.json")
    assert output.read_text().endswith("Stopped.\n")
    assert "0 leaked" in output.read_text()


def test_image_of_a_team_runs_its_catalog(tmp_path: Path) -> None:
    """The files of the image, as .dockerignore and the starter's Dockerfile say; no engine is needed."""
    image = tmp_path / "image"
    for name in (ROOT / ".dockerignore").read_text().split("!")[1:]:
        source = ROOT / name.split()[0]
        if source.is_dir():
            shutil.copytree(source, image / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, image)
    command = [sys.executable, image / "manage.py", "features", "init", tmp_path / "hotel"]
    subprocess.run(command, cwd=image, env=without_settings(), check=True, capture_output=True)
    dockerfile = (tmp_path / "hotel" / "Dockerfile").read_text()
    steps = dict(re.findall(r"^(FROM|COPY|ENV) (.*)$", dockerfile, re.MULTILINE))
    assert steps.keys() == {"FROM", "COPY", "ENV"}
    source_name, target_name = steps["COPY"].split()
    shutil.copytree(tmp_path / "hotel" / source_name, image / target_name)
    environment = without_settings() | dict([steps["ENV"].split("=")])
    listed = subprocess.run(
        [sys.executable, "manage.py", "features", "list"], cwd=image, env=environment, capture_output=True, text=True
    )
    assert listed.stdout.startswith("front_desk: stays, cancellations"), listed.stderr
