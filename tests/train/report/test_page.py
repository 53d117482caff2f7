"""The page and the files beside it: narrow drawings, tables in four forms, pictures, commands."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from texneg.datasets.storage.json_files import write_json
from texneg.train.evaluate.intervals import wilson
from texneg.train.evaluate.outcomes import Answers, save_outcomes
from texneg.train.evaluate.probe import ProbeConfig
from texneg.train.report.commands import list_commands, relate, write, write_flags
from texneg.train.report.examples import read_examples
from texneg.train.report.files import to_csv, to_latex
from texneg.train.report.pictures import Album
from texneg.train.report.runs import group_runs, read_run
from texneg.train.report.sets import read_tested
from texneg.train.report.table import build_table
from texneg.train.report.tables import tabulate_sets
from texneg.train.report.text import percent

CLASSES = ("cat", "dog", "frog")
PER_CLASS = 6
WIDTHS = (1280, 400, 360)  # pixels
NAMES = [f"{name}/{i}" for name in CLASSES for i in range(PER_CLASS)]
PARTS = [f"{name}-{severity}" for name in ("gaussian_noise", "fog", "contrast") for severity in (1, 3)]


def draw_images(folder):
    """A class-folder tree of small images."""
    draw = np.random.default_rng(0)
    for name in NAMES:
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (40, 48, 3), np.uint8)).save(path)
    return folder


def make_cell(folder, name, path, *, seed, part=None):
    """The record of a cell with the answers of a head that takes cats for dogs."""
    draw = np.random.default_rng([seed, len(name), len(part or "")])
    target = np.repeat(np.arange(3), PER_CLASS).astype(np.int16)
    predicted = target.copy()
    predicted[: 3 + seed] = 1
    predicted[-1] = 0
    values = (predicted == target).astype(np.int8)
    confidence = draw.uniform(0.4, 1, len(NAMES)).astype(np.float32)
    outcomes = f"outcomes/{name}-{part}.npz"
    save_outcomes(folder / outcomes, NAMES, values, Answers(predicted, confidence, target))
    right, n = int(values.sum()), len(values)
    low, high = wilson(right, n)
    told = {"correct": right, "n": n, "accuracy": right / n, "low": low, "high": high}
    bins = [{"n": 9, "confidence": 0.4, "accuracy": 0.5}, {"n": 0, "confidence": None, "accuracy": None},
            {"n": 9, "confidence": 0.9, "accuracy": right / n}]  # fmt: skip
    record = {
        "name": name, "kind": "accuracy", "data": f"data {path}", "path": str(path),
        "outcomes": outcomes,
        "n": n, "classes": 3, "present": 3, "chance": 1 / 3, "masked": told, "unmasked": told,
        "choice_names": list(CLASSES),
        "left_out": {"images": 0, "classes": []}, "transform": "centre", "declared": "head", "choices": 3,
        "calibration": {"over": "all", "ece": 0.1 + 0.01 * seed, "nll": 1.5, "bins": bins}, "version": "0",
    }  # fmt: skip
    if part:
        corruption, _, severity = part.rpartition("-")
        options = {"corruption": corruption, "severity": int(severity), "seed": 0, "jpeg_quality": 85}
        record |= {"kind": "corruptions", "part": part, "options": options, "constants": "cifar-c"}
    return record


def add_sets(folder, images, *, seed):
    """Give a run folder a plain set and a set of corruptions of the same images."""
    cells = [make_cell(folder, "bad weather", images, seed=seed, part=part) for part in PARTS]
    plain = make_cell(folder, "plain", images, seed=seed)
    mean = float(np.mean([cell["masked"]["accuracy"] for cell in cells]))
    names = ("kind", "name", "path", "n", "classes", "chance", "transform", "left_out", "declared")
    whole = {name: cells[0][name] for name in names}
    whole |= {"value": mean, "unmasked_mean": mean, "data": "all", "cells": cells, "jpeg_quality": 85,
              "constants": "cifar-c", "published_size": True, "head_classes": 3, "choices": 3}  # fmt: skip
    for cell in cells:
        cell["head_classes"] = 3
        cell["options"]["frost"] = None
        cell["published_size"] = True
    ood = {
        "transform": "centre",
        "preprocessing": {"image_size": 32},
        "sets": [plain, whole],
        "commands": [
            ["/usr/bin/texneg", "ood", str(folder), "--out", str(folder), "--sets", f"plain={images}"]
        ],
    }
    write_json(folder / "ood.json", ood)
    probe = json.loads((folder / "probe.json").read_text())
    write_json(folder / "probe.json", {**probe, "classes": list(CLASSES)})


def measure(root, fabricate):
    """A baseline and an arm of two seeds each that were tested on images that are there."""
    images = draw_images(root / "images")
    folders = []
    for kind in ("none", "patch"):
        for seed in (0, 1):
            folder = fabricate(root, negatives=kind, seed=seed)
            add_sets(folder, images, seed=seed + 2 * (kind == "none"))
            folders.append(folder)
    return folders


@pytest.fixture
def measured(tmp_path, fabricate):
    """Folders that a test may change."""
    return measure(tmp_path, fabricate)


@pytest.fixture(scope="module")
def reported(tmp_path_factory, fabricate, made):
    """Folders that no test changes, and the page of them."""
    root = tmp_path_factory.mktemp("reported")
    folders = measure(root, fabricate)
    return folders, made(folders, root)


def test_everything_that_was_measured_is_shown(reported, read_page):
    out = reported[1]
    text, notes = out.read_text(), out.with_suffix(".md").read_text()
    words, numbers = " ".join(read_page(text).words), json.loads(out.with_suffix(".json").read_text())
    assert set(numbers["tables"]) >= {"corruptions", "severities", "confusions", "training"}
    for rows in numbers["tables"].values():
        for row in rows:
            assert row["name"] in words
            assert row["name"].replace(">", "&gt;") in notes
    by_name = {row["name"]: row for row in numbers["tables"]["confusions"]}
    assert next(iter(by_name)) == "cat → dog"
    assert by_name["cat → dog"]["cells"][0]["seeds"] == {"0": 5 / 6, "1": 6 / 6}
    names = [row["name"] for row in numbers["tables"]["corruptions"]]
    assert names == ["gaussian noise", "fog", "contrast"]  # by family
    plain = next(row for row in numbers["table"] if row["name"] == "plain")
    for row in numbers["tables"]["corruptions"]:
        assert row["cells"][1]["mean"] == pytest.approx(plain["cells"][1]["mean"])
    for arm in numbers["metrics"]["scores"][0]["arms"]:
        assert f"ECE {100 * arm['ece']['mean']:.1f} ± " in words
    assert text.count("data:image/webp") >= 8 + 3 + 4  # examples, a corrupted image, mistakes
    assert "One image (" in words
    assert "baseline: right in" in words
    assert ">clean</text>" in text
    assert "JPEG 85 after the corruption; constants of cifar-c" in words


def test_every_drawing_has_a_narrow_version(reported):
    text = reported[1].read_text()
    boxes = {
        kind: re.findall(rf'<div class="{kind}"><svg viewBox="0 0 (\d+) (\d+)"', text)
        for kind in ("for-wide", "for-narrow")
    }
    assert len(boxes["for-wide"]) == len(boxes["for-narrow"]) >= 6
    assert {width for width, _ in boxes["for-wide"]} == {"1096"}
    assert {width for width, _ in boxes["for-narrow"]} == {"360"}
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_csv_and_latex_hold_the_numbers_of_the_json(reported):
    out = reported[1]
    numbers = json.loads(out.with_suffix(".json").read_text())
    folder = out.with_name("report-tables")
    tables = {"sets": numbers["table"], **numbers["analyses"], **numbers["tables"]}
    printed = {path.stem for path in folder.iterdir()} - set(tables)
    assert {"top5-calibration", "corruption-bad-weather"} <= printed
    assert all((folder / f"{name}.{end}").is_file() for name in (*tables, *printed) for end in ("csv", "tex"))
    for name, rows in tables.items():
        lines = list(csv.DictReader(io.StringIO((folder / f"{name}.csv").read_text())))
        entries = [
            (row, arm, cell)
            for row in rows
            for arm, cell in zip(numbers["arms"], row["cells"], strict=True)
            if cell
        ]
        assert len(lines) == len(entries)
        for line, (row, arm, cell) in zip(lines, entries, strict=True):
            assert (line["row"], line["arm"], line["group"]) == (row["name"], arm["label"], row["group"])
            assert float(line["mean"]) == cell["mean"]
            if cell["difference"]:
                assert float(line["change"]) == cell["difference"]["mean"]
        tex = (folder / f"{name}.tex").read_text()
        assert tex.count("\\midrule") == max(1, len({(row["head"], row["group"]) for row in rows}))
        assert r"\begin{tabular}{lrr}" in tex
    shown = (folder / "sets.tex").read_text()
    assert all(percent(cell["mean"]) in shown for row in numbers["table"] for cell in row["cells"])


def test_tables_on_the_page_are_the_files(reported):
    out = reported[1]
    arms = group_runs([read_run(str(folder)) for folder in reported[0]])
    table = tabulate_sets(build_table(arms))
    assert out.with_name("report-tables").joinpath("sets.csv").read_text() == to_csv(table, arms)
    assert out.with_name("report-tables").joinpath("sets.tex").read_text() == to_latex(table, arms)
    assert out.read_text().count('download="sets.csv"') == 1


def test_latex_survives_any_name(runs):
    arms = group_runs([read_run(str(folder)) for folder in runs])
    rows = build_table(arms)
    object.__setattr__(rows[0], "name", r"50%_of #1 & {x} \today ^~ <α>")
    tex = to_latex(tabulate_sets(rows), arms)
    assert r"50\%\_of \#1 \& \{x\} \textbackslash{}today \textasciicircum{}\textasciitilde{}" in tex


def test_images_that_are_gone_are_said(measured, tmp_path, made, read_page):
    shutil.rmtree(tmp_path / "images")
    out = made(measured, tmp_path)
    words = " ".join(read_page(out.read_text()).words)
    assert f"The images at {tmp_path / 'images'} cannot be shown: they are not there any more." in words
    assert "cannot be shown" in out.with_suffix(".md").read_text()
    assert "data:image/webp" not in out.read_text()


def test_other_images_at_the_same_place_are_said(measured, tmp_path):
    shutil.rmtree(tmp_path / "images")
    Image.new("RGB", (40, 40)).save(draw_images(tmp_path / "images") / "cat" / "new.png")
    for name in NAMES:
        (tmp_path / "images" / f"{name}.png").unlink()
    arms = group_runs([read_run(str(folder)) for folder in measured])
    strips = read_examples(arms, read_tested(arms), Album())
    assert [strip.title for strip in strips] == ["plain", "bad weather"]
    assert all("are not those that were measured" in strip.note for strip in strips)


def test_the_same_images_are_shown_for_any_runs(measured):
    shown = []
    for folders in (measured, measured[:1], measured[2:]):
        arms = group_runs([read_run(str(folder)) for folder in folders])
        strips = read_examples(arms, read_tested(arms), Album())
        shown.append([[one.picture.uri for one in strip.examples] for strip in strips])
        counts = Counter(one.caption for one in strips[0].examples)
        assert sorted(counts.values()) == [2, 3, 3]  # of every class, as long as there are any
        assert strips[0].examples[0].right[0] in ((0, 1), (1, 1), (0, 2), (1, 2), (2, 2))
    assert shown[0] == shown[1] == shown[2]
    assert len(set(shown[0][1])) == 3  # one image under three corruptions


def test_one_run_alone_makes_a_page_of_its_sets(measured, tmp_path, made, read_page):
    out = made(measured[:1], tmp_path)
    page = read_page(out.read_text())
    words = " ".join(page.words)
    assert "Masked accuracy by test set" in words
    assert json.loads(out.with_suffix(".json").read_text())["found"] in words
    assert "Change to the baseline" not in words


def list_texts(folders, page):
    """The commands of run folders by what they made."""
    commands = list_commands([read_run(str(folder)) for folder in folders], page)
    return {one.what: one.text for one in commands}


def test_commands_are_listed_with_relative_paths(measured, tmp_path):
    for folder in measured:
        record = json.loads((folder / "config.json").read_text())
        write_json(
            folder / "config.json", {**record, "command": ["/x/texneg", "study", "--out", str(tmp_path)]}
        )
        probe = json.loads((folder / "probe.json").read_text())
        given = {"checkpoint": "/then/run", "data": "/then/data", "out": "/then/run", "seed": 0}
        write_json(folder / "probe.json", {**probe, "config": given})
    told = list_texts(measured, tmp_path / "page" / "report.html")
    assert told["Pre-training"] == "texneg study --out .."
    folders = " ".join(f"../{folder.name}" for folder in measured)
    assert told["Test sets"] == (
        f'for RUN in {folders}; do\n  texneg ood "$RUN" --out "$RUN" --sets plain=../images\ndone'
    )
    then = relate("/then/run", tmp_path / "page")  # moved since
    assert told["Linear probe"].startswith(f"texneg probe {then} --data ")
    assert told["Linear probe"].endswith(f" --out {then}")


def test_commands_of_results_without_any_are_written_from_the_records(measured, tmp_path):
    folder = measured[0]
    ood = json.loads((folder / "ood.json").read_text())
    del ood["commands"]
    write_json(folder / "ood.json", ood)
    assert list_texts([folder], tmp_path / "page" / "report.html")["Test sets"] == (
        f"texneg ood ../{folder.name} --out ../{folder.name} --sets plain=../images"
        " --corrupt 'bad weather=../images' --corruptions gaussian_noise fog contrast --severities 1 3"
    )


def test_words_of_commands():
    assert relate("a=/data/x", Path("/data/y")) == "a=../x"
    assert relate("s3://bucket/x", Path("/data")) == "s3://bucket/x"
    assert relate("--alpha", Path("/data")) == "--alpha"
    assert write(("texneg", "probe", "$RUN", "--head", "$RUN/head.pt"), ["a b"]) == (
        "texneg probe 'a b' --head 'a b/head.pt'"
    )


def test_recorded_options_become_flags():
    given = {
        "checkpoint": "run",
        "data": "d",
        "out": "run",
        "flip": True,
        "seed": 0,
        "foreign": {"arch": "r", "stem": None},
    }
    assert write_flags(given, ProbeConfig) == ["run", "--data", "d", "--out", "run", "--flip", "--arch", "r"]


def test_changes_within_noise_are_grey_and_say_so(runs, tmp_path, made):
    text = made(runs, tmp_path).read_text()
    numbers = json.loads(re.search(r'id="numbers">(.*?)</script>', text, re.S)[1])
    beyond = within = 0
    for row in numbers["table"]:
        for cell in row["cells"]:
            if change := cell["difference"]:
                ends = [pair for pair in (change["over_images"], change["over_seeds"]) if pair]
                clear = ends and (all(low > 0 for low, _ in ends) or all(high < 0 for _, high in ends))
                beyond, within = beyond + bool(clear), within + (not clear)
    table = text[text.index('aria-label="Test sets"') : text.index("Every seed of every set")]
    assert table.count('class="change noise"') == within > 0
    assert len(re.findall(r'class="change (?:better|worse)"', table)) == beyond > 0
    assert table.count('<span class="sure">') == within


@pytest.mark.slow
def test_nothing_sticks_out_of_the_window(reported, tmp_path):
    """Only boxes that scroll, and say so, may be wider than the window; everything unfolded."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium to open the page in")
    probe = (
        "<script>addEventListener('load', () => { const edge = document.documentElement.clientWidth + 1;"
        "const out = [...document.querySelectorAll('body *')].filter(one =>"
        "one.getBoundingClientRect().right > edge && !one.closest('.scroll, .hidden, svg'));"
        "const words = out.map(one => one.tagName + '.' + one.className);"
        "const over = document.documentElement.scrollWidth > edge ? ['page'] : [];"
        "parent.postMessage([innerWidth, ...over, ...words].join(' '), '*') })</script>"
    )
    page = reported[1].read_text().replace("<details", "<details open")
    (tmp_path / "inner.html").write_text(page.replace("</body>", f"{probe}</body>"))
    frames = [
        f'<iframe src="inner.html" style="width: {width}px; height: 900px"></iframe>' for width in WIDTHS
    ]
    listen = "addEventListener('message', one => told.append(`<${one.data}>`))"
    (tmp_path / "outer.html").write_text(
        f"<style>iframe {{ border: 0 }}</style><p id=told></p><script>{listen}</script>{''.join(frames)}"
    )
    words = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'browser'}",
    ]
    words += ["--allow-file-access-from-files", "--window-size=1400,1000", "--virtual-time-budget=20000"]
    page = f"file://{tmp_path / 'outer.html'}"
    done = subprocess.run(
        [*words, "--dump-dom", page], capture_output=True, text=True, timeout=300, check=True
    )
    told = re.search(r'id="told">([^<]*)</p>', done.stdout)
    assert told, done.stderr[-500:]
    assert sorted(told[1].split("&gt;")[:-1]) == sorted(f"&lt;{width}" for width in WIDTHS)
