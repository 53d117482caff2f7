"""The examples of docs/extend.md in a module of their own: command line, training, report."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from texneg.cli.main import main
from texneg.datasets.catalogue.catalogue import CATALOGUE, find_known
from texneg.datasets.catalogue.cells import find_cells
from texneg.train import methods, negatives
from texneg.train.evaluate import analyses, sets

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"
TABLES = (negatives.KINDS, methods.METHODS, sets.KINDS, analyses.ANALYSES, CATALOGUE)
HEADINGS = ("A negative", "A method", "A kind of test set", "A published test set", "An analysis")
TINY = ("--width", "4", "--hidden", "8", "--dim", "6", "--image-size", "16", "--batch", "8", "--epochs", "2")


def block(heading):
    """The code below a heading."""
    text = PAGE.read_text("utf-8")
    return re.search(rf"^## {heading}$.*?^```python\n(.*?)^```$", text, re.M | re.S).group(1)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """The examples in a module, imported: their classes are in the tables."""
    before = [list(table) for table in TABLES]
    path = tmp_path_factory.mktemp("extend") / "my_texneg.py"
    path.write_text("\n\n".join(map(block, HEADINGS)))
    spec = importlib.util.spec_from_file_location("my_texneg", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_texneg"] = module
    spec.loader.exec_module(module)
    yield module
    for table, classes in zip(TABLES, before, strict=True):
        table[:] = classes
    del sys.modules["my_texneg"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of two colours, and two corrupted versions of them."""
    root, draw = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for folder, noise in (("train", 30), ("corrupted/fog", 80), ("corrupted/snow", 120)):
        for label in range(2):
            (root / folder / f"class{label}").mkdir(parents=True)
            for i in range(12):
                pixels = (80 + 90 * label + draw.normal(0, noise, (20, 20, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / folder / f"class{label}" / f"{i}.png")
    return root


@pytest.mark.parametrize("heading", HEADINGS)
def test_an_example_is_short(heading):
    assert len(re.findall(r"^.*\S.*$", block(heading), re.M)) <= 40


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("pretrain", "demo"), ("pixels", "moco_v3")),
        (
            ("pretrain", "demo", "--negatives", "pixels"),
            ("--pixels-block", "Side of the squares"),
        ),
        (("pretrain", "demo", "--method", "moco_v3"), ("(default: moco_v3)",)),
        (("ood",), ("--corrupted", "sets as NAME=PATH, with images")),
        (("analyze",), ("norms", "Lengths of the features")),
        (("analyze", "norms"), ("--power",)),
    ],
    ids=" ".join,
)
def test_help_shows_them(extended, capsys, words, shown):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert [one for one in shown if one not in text] == []


def test_a_published_set_is_listed_and_its_cells_are_found(extended, tmp_path, capsys):
    for name in ("drizzle", "downpour"):
        for severity in range(1, 6):
            (tmp_path / "rain" / name / str(severity)).mkdir(parents=True)
    assert main(["ood", "--list", str(tmp_path / "rain")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "test with --sets imagenet-rain=DIR; classes by the map imagenet, images ready-cut found" in shown
    assert "rain: 10 of 10 cells" in shown
    assert len(find_cells(tmp_path / "rain", find_known("imagenet-rain"))) == 10


def test_they_train_are_measured_and_stand_in_the_report(extended, data, tmp_path, capsys):
    runs = [tmp_path / "baseline", tmp_path / "pixels"]
    train = ("--data", str(data / "train"), "--device", "cpu")
    for run, kind in zip(runs, ("none", "pixels"), strict=True):
        chosen = ("--method", "moco_v3", "--bn", "none", "--negatives", kind)
        block = ("--pixels-block", "4") if kind == "pixels" else ()
        assert main(["pretrain", "demo", *chosen, *block, *TINY, *train, "--out", str(run)]) == 0
        assert main(["probe", str(run), *train, "--out", str(run)]) == 0
        found = ("--out", str(run), "--device", "cpu")
        weather = ("--corrupted", f"weather={data / 'corrupted'}")
        assert main(["ood", str(run), "--head", str(run / "head.pt"), *weather, *found]) == 0
        for analysis in ("norms", "similarity"):
            assert main(["analyze", analysis, str(run), "--data", str(data / "train"), *found]) == 0
    kinds = json.loads((runs[1] / "similarity.json").read_text())["kinds"]
    assert {"pixels", "patch", "texture_live"} <= set(kinds)

    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out)]) == 0
    numbers = json.loads(out.with_suffix(".json").read_text())
    assert [arm["label"] for arm in numbers["arms"]] == ["baseline", "pixels block 4 α=2"]
    assert [arm["baseline"] for arm in numbers["arms"]] == [None, "baseline"]
    (row,) = [row for row in numbers["table"] if row["name"] == "weather"]
    assert row["cells"][1]["difference"]["over_images"] is not None
    assert {"norms", "similarity"} <= set(numbers["analyses"])
    assert numbers["settings"]["method"] == "moco_v3"


def test_a_negative_that_does_not_fit_is_refused_before_anything_is_made(extended, data, tmp_path, capsys):
    run = tmp_path / "run"
    words = [
        "--negatives",
        "pixels",
        "--pixels-block",
        "5",
        "--bn-group",
        "4",
        *TINY,
        "--data",
        str(data / "train"),
        "--out",
        str(run),
    ]
    assert main(["pretrain", "demo", *words]) == 2
    assert "--pixels-block 5: must divide --image-size 16" in capsys.readouterr().err
    assert not run.exists()


def test_a_sweep_is_a_study():
    names = {}
    exec(compile(block("A sweep"), "sweep", "exec"), names)
    study = names["study"]
    assert [config.objective.loss.alpha for config in study.arms.values()][1:] == [0.5, 1, 2, 4]
    assert len(study.jobs) == 15
    assert str(study.run_folder("alpha 0.5", 2)) == "runs/alpha/alpha-0.5-s2"
