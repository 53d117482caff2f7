"""The circumstances of a run: kept for every stretch of it, and warned of where they change."""

import pytest

from texneg.train.engine.history import Stretch, extend_history, read_history
from texneg.train.engine.metrics import truncate_after


def stretch(step, processes=1, device="cpu", torch="2.5"):
    return Stretch(step, processes, device, torch)


def test_the_same_again_adds_nothing():
    first = [stretch(0)]
    assert extend_history([], stretch(0)) == (first, "")
    assert extend_history(first, stretch(40)) == (first, "")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (stretch(40, processes=2), "processes 1 -> 2"),
        (stretch(40, device="cuda"), "device cpu -> cuda"),
        (stretch(40, torch="2.6"), "torch 2.5 -> 2.6"),
        (stretch(40, processes=4, torch="2.6"), "processes 1 -> 4, torch 2.5 -> 2.6"),
    ],
)
def test_a_change_is_kept_and_warned_of(now, said):
    history, warning = extend_history([stretch(0)], now)
    assert history == [stretch(0), now]
    assert warning.startswith(f"from step 40 on: {said}; ")


def test_a_run_of_two_kinds_is_warned_of_for_ever():
    history, _ = extend_history([stretch(0, processes=2)], stretch(40))
    history, warning = extend_history(history, stretch(80))
    assert history == [stretch(0, processes=2), stretch(40)]
    assert "processes 2 -> 1" in warning


def test_steps_that_were_lost_do_not_count():
    history = [stretch(0, processes=2), stretch(40, processes=4)]
    assert extend_history(history, stretch(40, processes=2)) == ([stretch(0, processes=2)], "")
    assert extend_history(history, stretch(0)) == ([stretch(0)], "")


def test_the_record_of_an_earlier_version_is_read():
    history = read_history({"processes": 2, "torch": "2.5"})
    assert extend_history(history, stretch(40))[1].startswith("from step 40 on: processes 2 -> 1; ")
    assert read_history({}) == []


def test_a_line_of_no_step_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{}\n{"step": 2}\n{"step": 3}\n{"st')
    truncate_after(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
