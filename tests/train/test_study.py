"""A study where dask, distributed and tyro are absent, as on a machine that only trains; run twice."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
for module in ("dask", "distributed", "tyro"):
    sys.modules[module] = None
from dataclasses import replace
from pathlib import Path
from texneg.datasets.toy.embedded import EmbeddedConfig, write_embedded
from texneg.synth.config import SynthConfig
from texneg.synth.run import synth
from texneg.train.recipes import demo
from texneg.train.study import Exam, Study, run_study, write_report

root = Path(sys.argv[1])
write_embedded(root / "data", EmbeddedConfig(train_per_class=8, test_per_class=2, size=48))
train, test = str(root / "data" / "train"), root / "data" / "test"
synth(SynthConfig.flat(train, str(root / "textures"), size=48, exemplar_size=16, executor="sync"))
study = Study(
    folder=str(root / "runs"),
    recipe=replace(demo(), data=train, epochs=1, batch=16, bn_group=16, queue=32, workers=1),
    textures=str(root / "textures"),
    exams=(
        Exam(train, str(test / "same"), ()),
        Exam(train, None, (f"blur={test / 'blur'}",), name="other"),
    ),
    arms=("none", "texture"),
    seeds=1,
)
run_study(study, processes=1, threads=1, say=print)
for exam in study.exams:
    write_report(study, exam, root / f"{exam.name or 'main'}.html")
"""


def test_a_study_needs_no_dask_and_keeps_what_is_done(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    for name, sets in (("main", {"probe test"}), ("other", {"blur"})):
        numbers = json.loads((tmp_path / f"{name}.json").read_text())
        assert {row["name"] for row in numbers["table"]} >= sets
        assert [arm["seeds"] for arm in numbers["arms"]] == [[0], [0]]

    made = {path: path.read_bytes() for path in tmp_path.rglob("*.pt")}
    assert len(made) == 2 * (2 + 2)  # each run: checkpoint, encoder, two heads
    told = tmp_path / "runs" / "none-s0" / "probe.json"
    told.unlink()  # as a kill leaves it between the head and the probe's numbers
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert told.is_file()
    assert made == {path: path.read_bytes() for path in tmp_path.rglob("*.pt")}
