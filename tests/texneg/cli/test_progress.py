"""Progress lines: the rate is that of this call, and the time left follows from it."""

from types import SimpleNamespace

import pytest

from texneg.cli import progress
from texneg.cli.progress import Pace, Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that the module sees."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_the_rate_is_that_of_this_call(clock: SimpleNamespace) -> None:
    pace = Pace(5000, 1000)
    assert pace.left == "unknown time left"
    clock.now += 20
    pace.done = 1200
    assert (pace.seconds, pace.rate, pace.left) == (20, 10, "0:06:20 left")


def test_a_line_now_and_then_where_there_is_no_terminal(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(100, 40) as shown:
        shown.advance(10)
        assert capsys.readouterr().err == ""
        clock.now += 15
        shown.advance(5)
        assert capsys.readouterr().err == "55 of 100 (55 %), 1.0 images/s, 0:00:45 left\n"
        clock.now += 15
        shown.advance(45)
    assert capsys.readouterr().err == ""
