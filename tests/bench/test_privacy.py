"""What ``make prove-privacy`` searches for."""

from bench.privacy.canaries import EXPECTED
from featurestore.row_locations import data_locations


def test_every_data_location_has_something_that_must_be_found_before_an_erasure() -> None:
    assert set(EXPECTED) == {location.name for location in data_locations().in_order()}
