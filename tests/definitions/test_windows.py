"""Windows and their resolutions."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.definitions.windows import (
    LONGEST_S,
    RESOLUTIONS_S,
    SHORTEST_S,
    Resolution,
    resolution_of,
    resolutions_of,
    window_seconds,
)

windows = st.one_of(
    st.integers(1, 400 * 1440).map(lambda n: f"{n}m"),
    st.integers(1, 400 * 24).map(lambda n: f"{n}h"),
    st.integers(1, 400).map(lambda n: f"{n}d"),
    st.integers(60, LONGEST_S).map(lambda n: f"{n}s"),
)


@given(windows)
def test_resolution_is_the_largest_within_a_sixtieth(window: str) -> None:
    window_s = window_seconds(window)
    assert window_s is not None
    assert SHORTEST_S <= window_s <= LONGEST_S
    resolution_s = resolution_of(window_s)
    assert resolution_s * 60 <= window_s
    assert all(length_s <= resolution_s or length_s * 60 > window_s for length_s in RESOLUTIONS_S)


@given(st.sets(st.one_of(windows, st.just("lifetime")), min_size=1))
def test_resolutions_rise_and_each_divides_the_next(texts: set[str]) -> None:
    found = resolutions_of(window_seconds(text) for text in texts)
    assert {resolution.window_s for resolution in found} == {window_seconds(text) for text in texts}
    finite = [resolution for resolution in found if resolution.window_s is not None]
    assert found[: len(finite)] == tuple(finite), "lifetime comes last"
    for (shorter_s, resolution_s), (longer_s, next_resolution_s) in pairwise(finite):
        assert shorter_s is not None
        assert longer_s is not None
        assert shorter_s < longer_s
        assert next_resolution_s % resolution_s == 0


@given(st.lists(windows, min_size=1))
def test_resolutions_ignore_order_and_repetition(texts: list[str]) -> None:
    seconds = [window_seconds(text) for text in texts]
    assert resolutions_of(seconds) == resolutions_of(reversed(seconds * 2))


def test_resolutions_of_four_windows() -> None:
    assert resolutions_of(map(window_seconds, ["30d", "1m", "lifetime", "1h"])) == (
        Resolution(60, 1), Resolution(3_600, 60), Resolution(2_592_000, 43_200), Resolution(None, 0),
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["0s", "59s", "401d", "9601h", "-1d", "1", "", "1w", "1.5h", " 1h", "1h\n", "LIFETIME", "²d"]
)
def test_invalid_window_is_refused_with_the_allowed_ones(text: str) -> None:
    with pytest.raises(ValueError, match=r"impossible: take 1 minute to 400 days|is no duration: write a whole number"):
        window_seconds(text)
