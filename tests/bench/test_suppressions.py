"""The benchmark of suppressions, tiny: its rows, limits and rival; never its speed."""

import numpy as np
import pytest

from texneg.bench import suppressions
from texneg.bench.common.ratios import Timing
from texneg.bench.common.straight_suppressions import STRAIGHT
from texneg.bench.corruptions import cut_square
from texneg.bench.views import generate_photo
from texneg.datasets.decode import decode
from texneg.errors import RunFailed


def test_every_limit_has_a_row_and_every_rival_the_same_pixels():
    image = cut_square(decode(generate_photo(0)).pixels)
    for name in STRAIGHT:
        suppressions.check_pixels(name, image)
    timings = {suppressions.STRAIGHT_NAME: Timing((30.0,)), suppressions.OURS: Timing((10.0,))}
    rows = suppressions.make_rows(suppressions.MEAN, timings, of=3)
    assert [gate.value(rows) for gate in suppressions.GATES] == [3.0]
    assert rows[0].microseconds == pytest.approx(1e7)


def test_pixels_that_differ_are_not_timed(monkeypatch):
    image = np.asarray(cut_square(decode(generate_photo(1)).pixels))
    monkeypatch.setitem(suppressions.STRAIGHT, "grey", lambda image, *_: 255 - image)
    with pytest.raises(
        RunFailed, match=r"grey, strength 0\.2: pixels differ by .* so the speed means nothing"
    ):
        suppressions.measure("grey", [image], rounds=1)
