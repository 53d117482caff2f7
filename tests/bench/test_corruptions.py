"""The benchmark of corruptions, tiny: its rows, limits and rival; never its speed."""

import numpy as np
import pytest

from texneg.bench import corruptions
from texneg.bench.common.ratios import Timing
from texneg.bench.views import generate_photo
from texneg.datasets.decode import decode
from texneg.errors import RunFailed


@pytest.fixture
def photograph(monkeypatch):
    """A generated photograph, with the side of the benchmark made small."""
    monkeypatch.setattr(corruptions, "SIDE", 32)
    return corruptions.cut_square(decode(generate_photo(0)).pixels)


def test_every_limit_has_a_row(photograph):
    names = ("contrast", "frost")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corruptions, "check_pixels", lambda name, image: None)  # of 32 px with 224's constants
        patch.setattr(corruptions, "straight", lambda image, *_: image)
        timings = {name: corruptions.measure(name, [photograph], rounds=1) for name in names}
    mean = {
        side: corruptions.add(timing[side] for timing in timings.values()) for side in timings["contrast"]
    }
    rows = corruptions.make_rows(corruptions.MEAN, mean, of=2)
    assert all(gate.value(rows) is not None for gate in corruptions.GATES)


def test_the_mean_rate_adds_times_round_by_round():
    assert corruptions.add([Timing((1.0, 2.0)), Timing((4.0, 8.0))]) == Timing((5.0, 10.0))
    rows = corruptions.make_rows("mean", {corruptions.STRAIGHT_NAME: Timing((30.0,))}, of=3)
    assert rows[0].microseconds == 2e6


def test_pixels_that_differ_are_not_timed(photograph, monkeypatch):
    image = np.asarray(corruptions.cut_square(decode(generate_photo(1)).pixels))
    monkeypatch.setattr(corruptions, "straight", lambda image, *_: 255 - image)
    with pytest.raises(
        RunFailed, match=r"contrast, severity 1: pixels differ by .* so the speed means nothing"
    ):
        corruptions.check_pixels("contrast", image)
