"""A study where dask, distributed and tyro are absent, as on a machine that only trains; run twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from texneg.errors import InputError, RunFailed
from texneg.train.config import PretrainConfig
from texneg.train.negatives import PatchPermutation
from texneg.train.study import SHEET_PX, Study, join_failures, sheet_side

SCRIPT = """
import sys
for module in ("dask", "distributed", "tyro"):
    sys.modules[module] = None
from pathlib import Path
from texneg.datasets.toy.embedded import EmbeddedConfig, write_embedded
from texneg.synth.synth import SynthConfig, synth
from texneg.train.flags import change
from texneg.train.recipes import find_recipe
from texneg.train.study import Evaluation, Study, run_study, write_report

root = Path(sys.argv[1])
write_embedded(root / "data", EmbeddedConfig(train_per_class=8, test_per_class=2, size=48))
train, test = str(root / "data" / "train"), root / "data" / "test"
synth(SynthConfig.flat(train, str(root / "textures"), size=48, exemplar_size=16, executor="sync"))
base = change(find_recipe("demo"), data=train, epochs=1, batch=16, bn_group=16, queue=32, workers=1)
study = Study(
    folder=str(root / "runs"),
    arms={
        "nothing": base.baseline(),
        "textures, alpha 3": change(base, negatives="texture", alpha=3.0, textures=str(root / "textures")),
    },
    evaluations=(
        Evaluation(train, str(test / "same"), ()),
        Evaluation(train, None, (f"blur={test / 'blur'}",), name="other"),
    ),
    textures=str(root / "textures"),
    seeds=1,
)
run_study(study, processes=1, threads=1, log=print)
write_report(study, root / "report.html")
"""


def swap_two(folder: Path) -> None:
    """Exchange two images of a set: the same names, other content."""
    one, two = sorted(path for path in folder.rglob("*.*") if path.is_file())[:2]
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


def test_a_study_needs_no_dask_and_keeps_what_is_done(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert {(row["head"], row["name"]) for row in numbers["table"]} >= {("", "probe test"), ("other", "blur")}
    assert [arm["seeds"] for arm in numbers["arms"]] == [[0], [0]]
    assert [arm["label"] for arm in numbers["arms"]] == ["nothing", "textures, alpha 3"]
    assert [arm["baseline"] for arm in numbers["arms"]] == [None, "nothing"]

    made = {path: path.read_bytes() for path in tmp_path.rglob("*.pt")}
    assert len(made) == 2 * (2 + 2)  # each run: checkpoint, encoder, two heads
    probe = tmp_path / "runs" / "textures-alpha-3-s0" / "probe.json"
    probe.unlink()  # as a kill leaves it between the head and the probe's numbers
    analysis = tmp_path / "runs" / "nothing-s0" / "similarity.json"
    unchanged = analysis.read_bytes()
    tested = json.loads((tmp_path / "runs" / "nothing-s0" / "probe.json").read_text())["test"]
    swap_two(tmp_path / "data" / "test" / "same")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert probe.is_file()
    again = json.loads((tmp_path / "runs" / "nothing-s0" / "probe.json").read_text())["test"]
    assert again["data"] != tested["data"]
    assert analysis.read_bytes() == unchanged
    assert made == {path: path.read_bytes() for path in tmp_path.rglob("*.pt")}


@pytest.mark.parametrize("names", [(), ("alpha 1", "alpha: 1"), ("!",)])
def test_arms_need_names_that_differ_as_folders(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="names that differ in letters or digits"):
        Study("runs", dict.fromkeys(names, PretrainConfig()), ())


def test_a_study_of_no_seed_is_refused() -> None:
    with pytest.raises(InputError, match="seeds 0"):
        Study("runs", {"arm": PretrainConfig()}, (), seeds=0)


def test_every_failure_of_a_study_is_named() -> None:
    one, two, bug = InputError("no images"), RunFailed("diverged"), TypeError("a bug")
    assert join_failures({"a, seed 0": one}, 4) is one
    joined = join_failures({"a, seed 0": one, "b, seed 1": two}, 4)
    assert isinstance(joined, RunFailed)
    assert str(joined) == "2 of 4 failed: a, seed 0: no images; b, seed 1: diverged"
    assert join_failures({"a, seed 0": one, "b, seed 1": bug}, 4) is bug
    again = join_failures({"a, seed 0": one, "a, seed 1": InputError("no images")}, 2)
    assert str(again) == "2 of 2 failed: a, seed 0 and a, seed 1: no images"


@pytest.mark.parametrize("view", [32, 64, 96, 128, 224])
def test_negatives_that_fit_the_views_fit_the_contact_sheet(view: int) -> None:
    side = sheet_side(view)
    assert SHEET_PX <= side < SHEET_PX + view
    PatchPermutation(size=(view // 2, view // 2)).check(side)
