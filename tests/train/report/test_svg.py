"""Scales and ticks, and that text cannot become markup."""

from hypothesis import assume, given
from hypothesis import strategies as st

from texneg.train.report.svg import ARMS, colour, linear, mark, picture, polyline, tag, text, ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 10))
def test_ticks_are_round_inside_and_about_as_many_as_asked(low, width, count):
    high = low + width
    assume(high > low)
    found = ticks(low, high, count)
    slack = 1e-6 * max(abs(low), abs(high), 1)
    assert all(low - slack <= tick <= high + slack for tick in found)
    assert len(found) <= count + 1
    assert len(found) >= (count - 1) // 2.5


def test_known_ticks():
    assert ticks(-1, 1, 4) == [-1, -0.5, 0, 0.5, 1]
    assert ticks(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert ticks(3, 3) == [3]


def test_scale_maps_ends_and_survives_an_empty_range():
    x = linear(10, 20, 100, 300)
    assert (x(10), x(15), x(20)) == (100, 200, 300)
    assert linear(5, 5, 0, 10)(5) == 0


def test_everything_is_escaped():
    evil = "\"><script>'&"
    drawn = picture(10, 5, evil, [text(0, 0, evil), mark(3, 1, 2, title=evil), tag("g", class_=evil)])
    assert "<script" not in drawn
    assert drawn.count("&lt;script&gt;") == 4
    assert (
        tag("line", x1=1.0, stroke_width=2.25, class_="a", y=None)
        == '<line x1="1" stroke-width="2.25" class="a"/>'
    )
    assert polyline([(0, 1), (2, 3)], stroke=colour(ARMS + 1)) == (
        '<polyline points="0.0,1.0 2.0,3.0" fill="none" stroke="var(--arm-1)"/>'
    )
