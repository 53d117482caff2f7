"""Run folders with invented numbers, and what a page holds."""

import json
from copy import deepcopy
from html.parser import HTMLParser

import numpy as np
import pytest

from texneg.datasets.storage.json_files import write_json
from texneg.train.evaluate.analyses.similarity import count_cosines
from texneg.train.evaluate.intervals import wilson
from texneg.train.evaluate.outcomes import save_outcomes
from texneg.train.evaluate.sets.shape_bias import summarise
from texneg.train.report.report import ReportConfig, report

SETS = {"same": 0.80, "new textures": 0.55, "outlines": 0.40}
GAIN = {"none": 0.0, "patch": 0.06, "texture": 0.03}
BASELINE = {
    "views": {"image_size": 32, "crop": 0.5},
    "negatives": {"kinds": [], "count": 1},
    "method": {"name": "moco", "queue": 512},
    "objective": {"loss": {"name": "info_nce", "temperature": 0.2, "alpha": 0.0}},
    "network": {"arch": "resnet18", "layers": None},
    "optimisation": {"batch": 64, "epochs": 80},
}


def settings_of(negatives, alpha, changes):
    """Settings of a run and of its baseline; `changes` are values by dotted name."""
    baseline = deepcopy(BASELINE)
    for name, value in changes.items():
        part, *rest = name.split(".")
        target = baseline[part]
        for step in rest[:-1]:
            target = target[step]
        target[rest[-1]] = value
    settings = deepcopy(baseline)
    if negatives != "none":
        settings["negatives"]["kinds"] = [{"name": negatives, "share": 1.0}]
        settings["objective"]["loss"]["alpha"] = alpha
    return settings, baseline


def accuracy_row(name, right, folder, *, seed):
    correct, n = int(right.sum()), len(right)
    low, high = wilson(correct, n)
    told = {"correct": correct, "n": n, "accuracy": correct / n, "low": low, "high": high}
    outcomes = f"outcomes/{name}.npz"
    save_outcomes(folder / outcomes, [f"c/{i}" for i in range(n)], right.astype(np.int8))
    row = {
        "name": name,
        "kind": "accuracy",
        "data": name,
        "outcomes": outcomes,
        "n": n,
        "classes": 8,
        "chance": 0.125,
    }
    return {**row, "masked": told, "unmasked": told, "left_out": {"images": 0, "classes": []}}


def shape_row(draw, gain):
    shares = [0.25 + gain, 0.5 - gain, 0.25]
    folders = np.repeat(["cross", "disc", "heart", "ring", "star"], 60)
    bias = summarise(draw.choice([1, -1, 0], size=300, p=shares).astype(np.int8), folders)
    row = {
        "name": "cue conflict",
        "kind": "shape-bias",
        "data": "cue",
        "outcomes": "none.npz",
        "n": 300,
        "classes": 5,
    }
    row |= {
        "shape": bias.shape,
        "texture": bias.texture,
        "shape_bias": bias.bias,
        "by_category": bias.by_category,
    }
    return {**row, "cue_accuracy": bias.cue_accuracy, "left_out": {"same_cue": 0, "undecidable": 0}}


def make_run(root, *, negatives="none", seed=0, alpha=2.0, sets=SETS, n=400, changes=None):
    """A run folder with invented numbers: every arm a little better than the baseline."""
    folder = root / f"{negatives}-{alpha:g}-{seed}-{len(changes or {})}"
    draw, gain = (
        np.random.default_rng([seed, len(negatives), int(alpha)]),
        GAIN.get(negatives, 0.02) * alpha / 2,
    )
    common = np.random.default_rng(7)
    settings, baseline = settings_of(negatives, alpha, changes or {})
    record = {"recipe": "demo", "seed": seed, "settings": settings, "baseline": baseline}
    record |= {"title": "baseline" if negatives == "none" else f"{negatives} α={alpha:g}"}
    run = {"data": "x", "out": str(folder)}
    write_json(folder / "config.json", {**record, "run": run, "version": "0", "torch": "0", "command": []})
    lines = []
    for step in range(1, 41):
        t = step / 40
        line = {
            "step": step,
            "epoch": step / 2,
            "loss": 6 - 2 * t + 2 * gain + draw.normal(0, 0.05),
            "seconds": 3 * step,
        }
        line |= {"positive": 0.9 * (1 - np.exp(-6 * t)), "negative": 0.02 + 0.3 * np.exp(-8 * t)}
        if negatives != "none":
            line["nonsemantic"] = 0.8 * np.exp(-3 * t * (1 + 5 * gain)) + draw.normal(0, 0.01)
        line |= {"accuracy": t, "uniformity": -2 * t, "tolerance": 0.5, "gradient_norm": 1 + t}
        if step % 5 == 0:
            line["knn"] = 30 + 40 * t + 100 * gain * t + draw.normal(0, 1)
        lines.append(json.dumps(line))
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 41, "lo']))
    difficulty = {name: common.uniform(size=n) for name in sets}
    rows = [
        accuracy_row(name, difficulty[name] + draw.normal(0, 0.1, n) < level + gain, folder, seed=seed)
        for name, level in sets.items()
    ]
    ood = {"transform": "centre", "sets": [*rows, shape_row(draw, gain)]}
    write_json(folder / "ood.json", ood)
    test = {"correct": 8, "n": 10, "accuracy": 0.8, "low": 0.5, "high": 0.9, "classes": 8, "chance": 0.125}
    probe = {
        "protocol": "lbfgs",
        "n_train": 99,
        "validation_share": 0.1,
        "transform": "centre",
        "classes": ["a"] * 8,
    }
    write_json(
        folder / "probe.json",
        {**probe, "test": {**test, "data": "other", "left_out": {"images": 0, "classes": []}}},
    )
    centres = {
        "positive": (0.9, 0.06, 1),
        "texture": (0.6 - 4 * gain, 0.15, 1),
        "patch": (0.5 - 5 * gain, 0.15, 1),
        "ordinary": (0.02, 0.12, 8),
    }
    cosines = {
        kind: np.clip(draw.normal(mean, sd, 900 * m), -1, 1).astype(np.float32)
        for kind, (mean, sd, m) in centres.items()
    }
    write_json(folder / "similarity.json", {**count_cosines(cosines), "images": 900})
    return folder


class Page(HTMLParser):
    """Visible text, elements by name, and everything the page would fetch."""

    def __init__(self, text):
        super().__init__()
        self.words, self.names, self.fetched, self._hidden = [], [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self._hidden = tag in ("style", "script")
        self.fetched += [
            value for name, value in attributes if name in ("src", "href", "srcset", "data", "xlink:href")
        ]

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)


@pytest.fixture(scope="session")
def fabricate():
    """The function that makes a run folder."""
    return make_run


@pytest.fixture(scope="session")
def read_page():
    """The parser of a page."""
    return Page


@pytest.fixture
def runs(tmp_path):
    """A baseline and two arms of two seeds each."""
    return [make_run(tmp_path, negatives=kind, seed=seed) for kind in GAIN for seed in (0, 1)]


@pytest.fixture(scope="session")
def made():
    """The function that writes a report."""

    def make(runs, tmp_path, **options):
        out = tmp_path / "page" / "report.html"
        assert report(ReportConfig(tuple(map(str, runs)), str(out), **options)) == 0
        return out

    return make
