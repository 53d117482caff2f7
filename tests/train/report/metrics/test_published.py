"""Published networks: invented tables in the formats of timm and of Gavrikov and Keuper."""

import json

import numpy as np
import pytest

from texneg.cli.main import main
from texneg.errors import InputError
from texneg.train.evaluate.metrics.effective_robustness import logit, sigmoid
from texneg.train.evaluate.metrics.rank_correlation import bootstrap_ranks, correlate_ranks, rank
from texneg.train.report.metrics.collect import collect_metrics
from texneg.train.report.metrics.published_tables import read_published
from texneg.train.report.runs import group_runs, read_run

MANY = tuple(f"n{i:08}" for i in range(1000))
SOME = MANY[:200]
NETWORKS = 12
CLEAN = np.linspace(0.55, 0.9, NETWORKS)
RESULTS = "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation"


def shift(inside, by):
    return sigmoid(logit(np.asarray(inside)) + by)


def write_timm(folder, file, accuracies):
    """A file of results as timm has it: sets other than the clean ones say how far they fall."""
    beside = ("", "") if "clean" in file or file == "results-imagenet.csv" else (
        ",top1_diff,top5_diff,rank_diff", ",-40.0,-30.0,+2"
    )  # fmt: skip
    rows = [
        f"net{i:02}.a1_in1k,{100 * v:.3f},{100 - 100 * v:.3f},95.0,5.0,25.56,224,0.950,bicubic{beside[1]}"
        for i, v in enumerate(accuracies)
    ]
    (folder / file).write_text("\n".join([RESULTS + beside[0], *rows[::-1], ""]))


@pytest.fixture
def timm(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    write_timm(folder, "results-imagenet.csv", CLEAN)
    write_timm(folder, "results-imagenet-real.csv", CLEAN)
    write_timm(folder, "results-imagenet-r-clean.csv", shift(CLEAN, 0.8))
    write_timm(folder, "results-sketch.csv", shift(CLEAN, -1.5))
    write_timm(folder, "results-imagenet-r.csv", [0.0, *shift(CLEAN, -0.7)[1:]])
    return folder


@pytest.fixture
def benchmark(tmp_path):
    """Shape bias that rises where accuracy on ImageNet-R falls, and cells of two corruptions alone."""
    path = tmp_path / "benchmark.csv"
    columns = ["model", "top1_acc/imagenet", "top1_acc/imagenet-r", "top1_acc/imagenet-sketch"]
    columns += ["top1_acc/fog_1", "top1_acc/imagenet-c", "top1_acc/cue-conflict", "shape-bias", "metric/x"]
    rows = [",".join(columns)]
    for i, clean in enumerate(CLEAN):
        out = 100 * shift(clean, -1.5)
        values = [100 * clean, out, "" if i == 3 else out, 1.0, 40 + i, 20.0, 0.9 - 0.02 * i, ""]
        rows.append(",".join([f"resnet50_{i}", *map(str, values)]))
    rows.append(f"lambda_net,80,30,20,1,40,20,{0.99},")
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def run(make_run):
    """A head of 1,000 classes with its clean test, a set of all classes and one of 200."""
    run = make_run("run", classes=MANY)
    run.add("clean", run.answer(2000, 4.5, seed=0, rank=True), clean=True)
    run.add("imagenet-sketch", run.answer(2000, 3.5, seed=1))
    run.add("ImageNet-R", run.answer(1000, 3.0, seed=2, classes=SOME))
    run.write()
    return run


def measure(run, *lines, family=()):
    arms = group_runs([read_run(str(run.path))])
    return {
        one.name: one
        for one in collect_metrics(arms, lines=[str(x) for x in lines], family=family).robustness
    }


def test_files_of_timm_find_accuracy_in_distribution_beside_them(timm):
    table = read_published(str(timm), flag="table")
    assert {one.name: (one.ways, one.inside_ways, len(one.points), one.left_out) for one in table.sets} == {
        "imagenet-sketch": (1000, 1000, NETWORKS, 0),
        "imagenet-r": (200, 200, NETWORKS - 1, 1),
    }
    [alone] = read_published(str(timm / "results-imagenet-r.csv"), flag="table").sets
    point = next(one for one in alone.points if one.name == "net05.a1_in1k")
    assert point.inside == pytest.approx(shift(CLEAN[5], 0.8), abs=1e-5)
    (timm / "results-imagenet-r-clean.csv").unlink()
    with pytest.raises(InputError, match=r"is in results-imagenet-r-clean.csv; put it into the same folder"):
        read_published(str(timm / "results-imagenet-r.csv"), flag="table")
    with pytest.raises(InputError, match="give one with a shifted set, of results-imagenetv2"):
        read_published(str(timm / "results-imagenet.csv"), flag="table")


def test_an_arm_among_published_networks(run, timm):
    found = measure(run, timm)
    robust = found["imagenet-sketch"]
    sets = {record["name"]: record["masked"]["accuracy"] for record in run.sets}
    expected = sets["imagenet-sketch"] - shift(sets["clean"], -1.5)
    [arm] = robust.arms
    assert arm.effective.mean == pytest.approx(expected, abs=1e-4)
    assert (arm.slope, arm.intercept) == pytest.approx((1, -1.5), abs=1e-3)
    # all points lie on the line, so that the interval is that of the arm's images alone
    width = arm.interval.high - arm.interval.low
    p, q = sets["imagenet-sketch"], sets["clean"]
    slope = shift(q, -1.5) * (1 - shift(q, -1.5)) / (q * (1 - q))
    assert width == pytest.approx(
        2 * 1.96 * np.sqrt(p * (1 - p) / 2000 + slope**2 * q * (1 - q) / 2000), rel=0.06
    )
    assert arm.below == (NETWORKS if expected > 0 else 0)
    among = found["ImageNet-R"].arms[0]  # the name's case does not matter
    assert among.inside > sets["clean"]  # among 200 choices, not 1,000
    assert found["ImageNet-R"].left_out == 1


def test_a_table_without_accuracy_in_distribution_on_the_same_classes_takes_that_on_all(run, benchmark):
    robust = measure(run, benchmark)["ImageNet-R"]
    assert robust.arms[0].inside == pytest.approx(run.sets[0]["masked"]["accuracy"])
    assert len(robust.points) == NETWORKS + 1
    few = measure(run, benchmark, family=("resnet50_*",))["ImageNet-R"]
    assert len(few.points) == NETWORKS
    with pytest.raises(InputError, match=r"3 networks of --family resnet50_1\?\?? resnet50_2"):
        measure(run, benchmark, family=("resnet50_1?", "resnet50_2"))


def test_another_number_of_classes_is_not_compared(make_run, timm, tmp_path, capsys):
    run = make_run("small")
    run.add("clean", run.answer(300, 2.0, seed=0, rank=True), clean=True)
    run.add("imagenet-sketch", run.answer(300, 1.5, seed=1))
    run.write()
    robust = measure(run, timm)["imagenet-sketch"]
    assert robust.arms == (None,)
    out = tmp_path / "page.html"
    assert main(["report", str(run.path), "--reference-line", str(timm), "--out", str(out)]) == 0
    assert "not comparable: 10 ways here, 1000 in the table" in out.with_suffix(".md").read_text()


def test_the_page_shows_arms_among_published_networks(run, timm, benchmark, tmp_path):
    out = tmp_path / "page.html"
    words = ["report", str(run.path), "--out", str(out), "--reference-line", str(timm), str(benchmark)]
    assert main(words) == 0
    page = out.read_text()
    assert page.count("<h2>Among published networks</h2>") == 1
    assert 'aria-label="Among published networks"' in page
    assert page.count("<h3>Effective robustness</h3>") == 1
    found = json.loads(out.with_suffix(".json").read_text())["metrics"]["robustness"]
    assert [one["name"] for one in found] == ["imagenet-sketch"] * 2 + ["ImageNet-R"] * 2


def test_shape_bias_of_a_table_beside_its_sets(benchmark, tmp_path, capsys):
    names = tmp_path / "categories.json"
    names.write_text(json.dumps({"one": [f"resnet50_{i}" for i in range(6)], "two": ["resnet50_7"]}))
    out = tmp_path / "found.json"
    words = ["published", str(benchmark), "--family", "*_8", str(names), "--out", str(out)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    [table] = json.loads(out.read_text())["tables"]
    by_set = {one["set"]: one for one in table["shape_bias"]}
    assert by_set["imagenet-r"]["rank"] == pytest.approx(-1)
    assert by_set["imagenet-r"]["networks"] == 8
    assert by_set["imagenet-sketch"]["networks"] == 7
    assert by_set["imagenet-c of 19 corruptions"]["rank"] == pytest.approx(-1)
    assert "fog_1" not in by_set
    assert "imagenet-c" not in by_set  # needs the cells of all fifteen
    assert by_set["cue-conflict"]["rank"] is None  # all networks have the same
    assert "imagenet-r" in printed
    assert "-1.00 [-1.00, -1.00]" in printed


def test_tables_that_are_none(tmp_path, capsys):
    table = tmp_path / "some.csv"
    for text, complaint in (
        ("a,b\n1,2\n", "its first line is a, b; it must be name,in_distribution,SET"),
        ("name,in_distribution,set\nx,80,high\n", "could not convert string to float: 'high'"),
        ("name,in_distribution,set\nx,80,180\n", "180 is no accuracy"),
        ("", "its first line is empty"),
    ):
        table.write_text(text)
        assert main(["published", str(table)]) == 2
        assert complaint in capsys.readouterr().err
    assert main(["published", str(tmp_path)]) == 2
    assert "has none of timm's files" in capsys.readouterr().err
    assert main(["published", str(table), "--family", "none.json"]) == 2


def test_ranks_against_their_definition():
    x = np.array([3.0, 1.0, 3.0, 2.0, 5.0])
    assert rank(x).tolist() == [3.5, 1, 3.5, 2, 5]
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(2, 30))
    d = np.argsort(np.argsort(a)) - np.argsort(np.argsort(b))
    assert correlate_ranks(a, b) == pytest.approx(1 - 6 * (d**2).sum() / (30 * (30**2 - 1)))
    assert correlate_ranks(a, np.exp(a)) == pytest.approx(1)
    assert correlate_ranks(a, np.zeros(30)) is None
    low, high = bootstrap_ranks(a, a + draw.normal(size=30), resamples=300)
    assert 0 < low < high < 1
