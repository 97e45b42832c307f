"""The Compose file's services, started once for all tests of this folder and taken down after them, whatever failed."""

from collections.abc import Iterator

import pytest
import yaml

from featurestore.config import ROOT
from tests.containers import package_settings, podman, standins
from tests.containers.composed import Composed
from tests.containers.podman import Podman
from tests.kit.whole_machine import whole_machine

CACHE = ROOT / "var" / "containers"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def base_images() -> set[str]:
    """The images that Dockerfile and Compose file ask for, and that there are stand-ins for."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"].values()
    asked = {service["image"] for service in services}
    asked |= {line.split()[1] for line in DOCKERFILE.read_text("utf-8").splitlines() if line.startswith("FROM")}
    return {image for image in asked if image.rpartition(":")[0] in standins.MAKERS}


@pytest.fixture(scope="package")
def engine() -> Iterator[Podman]:
    """Podman with the stand-ins and our image. Stand-ins stay in var/containers from run to run."""
    if lacking := [*podman.missing(), *standins.missing()]:
        pytest.skip(f"containers need {', '.join(lacking)}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with whole_machine():
        made = Podman(CACHE / "storage")
        try:
            made.start()
            for image in sorted(base_images()):
                made.add_stand_in(standins.MAKERS[image.rpartition(":")[0]](image))
            made.build(DOCKERFILE, ROOT, "rapport:0.2.0", package_settings.mounts(made.running))
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="package")
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
