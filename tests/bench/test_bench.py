"""The benchmark's own arithmetic, its rivals' correctness and its exit status; never its speed."""

import json
import random
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import torch

from texneg.bench import negatives, tell
from texneg.bench.common.peers import OF_COPY, official_patches, sliced_patches
from texneg.bench.common.ratios import TIME, Gate, Row, Timing, compare, table, verdicts
from texneg.bench.common.results import BenchConfig, RatioConfig, write_results
from texneg.cli.environment import environment
from texneg.cli.main import main
from texneg.patches.patches import patch_negatives
from texneg.patches.plan import Rule, Source, batch_key, plan
from texneg.philox.arrays import fold
from texneg.philox.streams import Stream


class Clock:
    """A clock that only the timed functions move."""

    now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        def call():
            self.now += seconds

        return call


def test_ratios_are_those_of_the_work_done():
    clock = Clock()
    timings = compare(
        {"slow": clock.work(0.004), "quick": clock.work(0.001), "long": clock.work(5.0)},
        rounds=4,
        clock=clock,
    )
    assert timings["slow"].over(timings["quick"]) == pytest.approx(4)
    assert timings["quick"].seconds == pytest.approx(0.001)
    assert timings["long"].over(timings["slow"]) == pytest.approx(1250)
    assert all(len(timing.slots) == 4 for timing in timings.values())


def test_the_ratio_is_the_median_over_rounds_not_of_medians():
    assert Timing((1.0, 4.0, 9.0)).over(Timing((1.0, 1.0, 3.0))) == 3.0


ROWS = [Row("case", "quick", 1.0, {"x slow": 3.0}), Row("case", "slow", 3.0, {"x slow": 1.0})]


@pytest.mark.parametrize(
    ("side", "limit", "word"), [("at least", 2, "kept"), ("at least", 4, "MISSED"), ("at most", 4, "kept")]
)
def test_limits_are_judged_in_their_direction(side, limit, word):
    (line,) = verdicts(ROWS, [Gate("case", "quick", "x slow", side, limit)])
    assert line.split()[0] == word


def test_the_table_has_a_column_for_every_ratio_and_time_first():
    rows = [Row("case", "known", None, {"deep": 1.0}), Row("case", "quick", 4200.0, {"wide": 3.0})]
    _, case, head, known, quick = table(rows).split("\n")
    assert case == "case"
    assert head.index(TIME) < head.index("deep") < head.index("wide")
    assert known.split() == ["known", "1"]
    assert quick.split() == ["quick", "4200.00", "3"]


def test_limits_of_cases_that_were_not_run_are_left_out():
    assert verdicts(ROWS, [Gate("another", "quick", "x slow", "at least", 2)]) == []
    assert table(ROWS).count("case") == 1


def test_every_limit_names_a_case_of_the_benchmark():
    rows = negatives.measure_negatives(quick=True)
    found = [gate for gate in negatives.GATES if gate.value(rows) is not None]
    left_out = [gate for gate in negatives.GATES if gate not in found]
    assert {gate.case for gate in left_out} == {negatives.LARGE.name}
    assert all(value > 0 for row in rows for value in row.ratios.values())


def test_the_official_rival_tiles_the_view_with_crops_and_leaves_out_the_last_place():
    S, d = 24, 7
    view = torch.arange(S * S, dtype=torch.float32).reshape(1, S, S).expand(3, S, S)
    sides, places = random.Random(0), np.random.RandomState(0)
    corners = set()
    for _ in range(200):
        negative = official_patches(view, (d, d), sides, places)
        assert negative.shape == (3, S, S)
        for y in range(0, S, d):
            for x in range(0, S, d):
                tile = negative[0, y : y + d, x : x + d]
                top, left = divmod(int(tile[0, 0]), S)
                corners |= {top, left}
                assert torch.equal(tile, view[0, top : top + tile.shape[0], left : left + tile.shape[1]])
    assert corners == set(range(S - d))


def test_the_slicing_rival_tiles_the_image_with_crops():
    S, d = 24, 7
    image = np.arange(S * S, dtype=np.float32).reshape(S, S, 1)
    draws = np.random.default_rng(0)
    corners = set()
    for _ in range(200):
        negative = sliced_patches(image, (d, d), draws)
        for y in range(0, S, d):
            for x in range(0, S, d):
                tile = negative[y : y + d, x : x + d]
                top, left = divmod(int(tile[0, 0, 0]), S)
                corners |= {top, left}
                assert np.array_equal(tile, image[top : top + len(tile), left : left + tile.shape[1]])
    assert corners == set(range(S - d + 1))


class Dealt:
    """Stands in for both generators of the official code and deals the numbers of a plan."""

    def __init__(self, made):
        places = zip(made.lefts, made.tops, strict=True)  # the official code draws x, then y
        self.numbers = [made.d, *(int(number) for place in places for number in place)]
        self.ends = []

    def randint(self, low, high):
        self.ends.append((low, high))
        return self.numbers.pop(0)


@pytest.mark.parametrize(("side", "size"), [(224, (16, 72)), (32, (4, 12)), (48, (16, 16)), (20, (20, 20))])
def test_paper_mode_is_the_official_code_with_our_numbers(side, size):
    views = torch.rand(12, 3, side, side, generator=torch.Generator().manual_seed(side))
    expected = patch_negatives(views, size=size, paper=True, seed=1, epoch=2)
    base = batch_key(1, 2)
    for i, view in enumerate(views):
        made = plan(fold(1, 2, Stream.PATCHES, i, 0), side, side, Rule(base, *size, Source.PAPER))
        dealt = Dealt(made)
        assert torch.equal(official_patches(view, size, dealt, dealt), expected[i, 0])
        assert dealt.numbers == []
        assert dealt.ends == [size] + [(0, side - made.d)] * (2 * (side // made.d + 1) ** 2)
        last = max(0, side - made.d - 1)
        assert max(made.tops.max(), made.lefts.max()) <= last  # below the exclusive end


def test_check_turns_a_missed_limit_into_status_one(tmp_path, monkeypatch, capsys):
    rows = [Row(negatives.ONE.name, "numba", 1.0, {OF_COPY: 0.01})]
    monkeypatch.setattr(negatives, "measure_negatives", lambda quick: rows)
    target = tmp_path / "bench.json"
    assert main(["bench", "negatives", "--json", str(target)]) == 0
    assert main(["bench", "negatives", "--check"]) == 1
    assert "MISSED" in capsys.readouterr().out
    record = json.loads(target.read_text())
    assert record["rows"][0]["ratios"] == {OF_COPY: 0.01}
    assert set(record["environment"]) == set(environment())


def test_results_name_files_without_their_folders(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["texneg", "bench", "kill", "../data/photos.tar", "--rounds", "3"])
    target = tmp_path / "kill.json"
    write_results(BenchConfig(json=target), {"runs": []}, photographs="photos.tar, sha256 0")
    record = json.loads(target.read_text())
    assert record["environment"]["command"] == "texneg bench kill photos.tar --rounds 3"
    assert record["environment"]["photographs"] == "photos.tar, sha256 0"
    assert record["runs"] == []


def test_speed_can_be_measured_where_there_is_neither_dask_nor_tyro():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('dask', 'distributed', 'tyro'));"
        "from texneg.bench import bench, gpu, negatives, textures; bench.PhotosConfig(photos=None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["kill", "workers"])
def test_a_tar_without_photographs_is_wrong_usage(tmp_path, capsys, verb):
    (tmp_path / "text.tar").write_text("no tar")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    for name in ("text.tar", "nothing.tar", "empty.tar"):
        assert main(["bench", verb, str(tmp_path / name)]) == 2
        message = capsys.readouterr().err
        assert name in message
        assert message.count("\n") == 1


def test_the_cost_of_tell_is_given_field_by_field(tmp_path, monkeypatch):
    monkeypatch.setattr(tell, "IMAGES", 2)
    monkeypatch.setattr(tell, "SIDES", (64,))
    path = tmp_path / "tell.json"
    assert tell.bench(RatioConfig(json=path, quick=True)) == 0
    rows = json.loads(path.read_text())["rows"]
    assert [row["variant"] for row in rows] == [
        tell.PASS, "grey 5 px", "grey 20 px", tell.WHOLE, tell.CLASSIFIER
    ]  # fmt: skip
