"""The Compose file's services, started once for all tests of this folder and taken down after them, whatever failed."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml

from devservers.installation import made_once
from featurestore.config import ROOT
from tests.containers import package_settings, podman, standins
from tests.containers.composed import Composed
from tests.containers.podman import Podman
from tests.kit.whole_machine import whole_machine

CACHE = ROOT / "var" / "containers"
DOCKERFILE, IMAGE = ROOT / "deploy" / "Dockerfile", "rapport:0.2.0"


def base_images() -> set[str]:
    """The images that Dockerfile and Compose file ask for, and that there are stand-ins for."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"].values()
    asked = {service["image"] for service in services}
    asked |= {line.split()[1] for line in DOCKERFILE.read_text("utf-8").splitlines() if line.startswith("FROM")}
    return {image for image in asked if image.rpartition(":")[0] in standins.MAKERS}


@contextmanager
def podman_of_the_run() -> Iterator[Podman]:
    """Podman with our image, whose base images are stand-ins that stay in var/containers from run to run.

    The image is built once a run. One worker at a time has this podman.
    """
    if lacking := [*podman.missing(), *standins.missing()]:
        pytest.skip(f"containers need {', '.join(lacking)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Podman(CACHE / "storage")
        try:
            made.start()
            made_once("image", partial(build_image, made))
            yield made
        finally:
            made.stop()


def build_image(made: Podman, mark: Path) -> None:
    """Build our image, and leave a file as a mark that it is."""
    for image in sorted(base_images()):
        made.add_stand_in(standins.MAKERS[image.rpartition(":")[0]](image))
    made.build(DOCKERFILE, ROOT, IMAGE, package_settings.mounts(made.running))
    mark.touch()


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    """The run's podman, with the whole machine."""
    with whole_machine(), podman_of_the_run() as made:
        yield made


@pytest.fixture(scope="module")
def composed(engine: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """All services but Grafana, seeded, with a customer of one message."""
    made = Composed(engine, tmp_path_factory.mktemp("composed"))
    try:
        made.up()
        made.until(lambda: not made.unhealthy(), "every service is healthy")
        made.seed()
        made.send_message()
        made.settle()
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "1")
