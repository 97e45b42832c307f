"""The image, built at the beginning of a run, mostly by waiting for packages, for the tests that come last."""

import pytest

from tests.containers.conftest import IMAGE, podman_of_the_run


@pytest.mark.containers
@pytest.mark.timeout(1200)
def test_image_is_built_once_a_run() -> None:
    listing = ("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    with podman_of_the_run() as podman:
        images = dict(line.split() for line in podman.run(*listing).splitlines())
    with podman_of_the_run() as podman:
        again = dict(line.split() for line in podman.run(*listing).splitlines())
    assert f"localhost/{IMAGE}" in images
    assert images == again
