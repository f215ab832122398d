"""Where the charts put their labels."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bench.report.charts.draw import spread

SIZES = st.tuples(st.floats(-50, 350), st.floats(1, 40))


def test_labels_with_room_stay_where_they_are_wanted() -> None:
    assert spread([(100, 20), (20, 20), (60, 10)], 200) == [100, 20, 60]


def test_labels_that_would_meet_are_moved_apart() -> None:
    assert spread([(50, 20), (52, 20), (199, 20)], 200) == [32, 52, 190]


@given(st.lists(SIZES, max_size=6))
def test_no_label_lies_over_another(wanted: list[tuple[float, float]]) -> None:
    places = spread(wanted, 300)
    ends = sorted((place - size / 2, place + size / 2) for place, (_, size) in zip(places, wanted, strict=True))
    assert all(b[0] >= a[1] - 1e-6 for a, b in itertools.pairwise(ends))
    assert not ends or (ends[0][0] >= 0 and ends[-1][1] <= 300 + 1e-6)
