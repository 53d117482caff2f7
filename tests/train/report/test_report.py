"""The report from fabricated runs: arms, tables, and a page that is whole, harmless and self-contained."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from texneg.datasets.storage.json_files import write_json
from texneg.errors import InputError
from texneg.train.evaluate.intervals import mcnemar
from texneg.train.evaluate.outcomes import save_outcomes
from texneg.train.report.markdown import markdown_table
from texneg.train.report.report import ReportConfig, report
from texneg.train.report.runs import describe_equality, find_shared_settings, group_runs, read_run
from texneg.train.report.sets import PROBE_ROW
from texneg.train.report.table import build_table, find_headline
from texneg.train.report.text import ABSENT, decimal, interval, percent, points, with_sign

OOD_ROW = "out of distribution, mean of 3 sets"
SETS = {"same": 0.80, "new textures": 0.55, "outlines": 0.40}
GAIN = {"none": 0.0, "patch": 0.06, "texture": 0.03}


def test_arms_are_what_differs_but_for_the_seed(tmp_path, runs, fabricate):
    hot = {"objective.loss.temperature": 0.5}
    more = [fabricate(tmp_path, negatives="patch", alpha=3.0), fabricate(tmp_path, changes=hot)]
    arms = group_runs([read_run(str(folder)) for folder in [*reversed(runs), *more]])
    labels = [arm.label for arm in arms]
    cold = [f"{name} temperature=0.2" for name in ("baseline", "texture α=2", "patch α=2", "patch α=3")]
    assert labels == [*cold, "baseline temperature=0.5"]
    assert [arm.seeds for arm in arms] == [(0, 1), (0, 1), (0, 1), (0,), (0,)]
    assert [arm.baseline for arm in arms] == [None, 0, 0, 0, None]
    assert len({arm.look.number for arm in arms}) == 5
    settings = find_shared_settings([run for arm in arms for run in arm.runs])
    assert "temperature" not in settings
    assert settings["batch"] == 64


def test_settings_are_named_as_their_flags_are(tmp_path, fabricate):
    """An arm without its baseline has none."""
    byol = {"method.name": "byol", "objective.loss.name": "byol"}
    folders = [
        fabricate(tmp_path, negatives="patch"),
        fabricate(tmp_path, negatives="patch", changes={**byol, "optimisation.epochs": 9}),
    ]
    arms = group_runs([read_run(str(folder)) for folder in folders])
    assert [arm.label for arm in arms] == [
        "patch α=2 method=moco loss=info_nce epochs=80",
        "patch α=2 method=byol loss=byol epochs=9",
    ]
    assert [arm.baseline for arm in arms] == [None, None]
    assert [arm.look.number for arm in arms] == [1, 2]


def test_settings_that_an_arm_lacks_are_no_part_of_its_name(tmp_path, fabricate):
    share = {"objective.loss.difficulty": [0.0, 0.05]}
    folders = [fabricate(tmp_path), fabricate(tmp_path, changes={**share, "network.layers": None})]
    arms = group_runs([read_run(str(folder)) for folder in folders])
    assert [arm.label for arm in arms] == ["baseline", "baseline difficulty=0.0-0.05"]


def test_a_study_names_its_arms(tmp_path, fabricate):
    folders = [fabricate(tmp_path, negatives=kind) for kind in ("none", "patch")]
    for folder, arm in zip(folders, ("nothing", ""), strict=True):
        record = json.loads((folder / "config.json").read_text())
        write_json(folder / "config.json", {**record, "run": {"arm": arm}})
    arms = group_runs([read_run(str(folder)) for folder in folders])
    assert [arm.label for arm in arms] == ["nothing", "patch α=2"]


def test_a_run_of_an_earlier_version_is_refused(tmp_path, fabricate):
    folder = fabricate(tmp_path)
    write_json(folder / "config.json", {"config": {"negatives": "patch"}, "version": "0"})
    with pytest.raises(InputError, match=r"config\.json lacks baseline, seed, settings.*make the run again"):
        read_run(str(folder))


def test_the_same_run_twice_and_no_run_are_refused(tmp_path, runs):
    with pytest.raises(InputError, match="seed 0 occur more than once"):
        group_runs([read_run(str(runs[0])), read_run(str(runs[0]))])
    with pytest.raises(InputError, match="nor results"):
        read_run(str(tmp_path))
    (runs[0] / "ood.json").write_text("{")
    with pytest.raises(InputError, match=r"ood\.json cannot be read"):
        read_run(str(runs[0]))


def test_the_table_against_the_outcomes(runs):
    arms = group_runs([read_run(str(folder)) for folder in runs])
    rows = {row.name: row for row in build_table(arms)}
    assert list(rows) == [PROBE_ROW, *SETS, OOD_ROW, "cue conflict"]
    cell = rows["outlines"].entries[1]
    values = []
    for kind in ("patch", "none"):
        for seed in (0, 1):
            with np.load(runs[0].parent / f"{kind}-2-{seed}-0" / "outcomes" / "outlines.npz") as file:
                values.append(file["values"].astype(float))
    patch, none = np.array(values[:2]), np.array(values[2:])
    assert cell.mean == pytest.approx(patch.mean())
    assert cell.sd == pytest.approx(patch.mean(1).std(ddof=1))
    difference = cell.difference
    assert difference.mean == pytest.approx(patch.mean() - none.mean())
    spread = (patch - none).mean(1)
    assert np.subtract(*difference.over_seeds[::-1]) == pytest.approx(
        12.7062 * abs(spread[0] - spread[1]), rel=1e-4
    )
    half = 1.96 * (patch - none).mean(0).std() / np.sqrt(400)
    assert difference.over_images == pytest.approx(
        [difference.mean - half, difference.mean + half], abs=0.004
    )
    assert difference.mcnemar["0"] == mcnemar(
        int((patch[0] > none[0]).sum()), int((patch[0] < none[0]).sum())
    )
    expected = np.mean([rows[name].entries[2].mean for name in SETS])
    assert rows[OOD_ROW].entries[2].mean == pytest.approx(expected)
    assert rows["same"].entries[0].difference is None


def test_seeds_that_the_baseline_lacks_are_shown_without_a_change(tmp_path, fabricate, made, read_page):
    """McNemar's p belongs to a seed, not to a place in a list."""
    folders = [fabricate(tmp_path), *(fabricate(tmp_path, negatives="patch", seed=seed) for seed in (1, 0))]
    folders.append(fabricate(tmp_path, seed=1))
    p = {}
    for chosen in (folders, folders[1:]):  # both seeds of the baseline, then seed 1 alone
        arms = group_runs([read_run(str(folder)) for folder in chosen])
        row = next(row for row in build_table(arms) if row.name == "outlines")
        p[len(chosen)] = row.entries[1].difference.mcnemar
    assert set(p[4]) == {"0", "1"}
    assert p[3] == {"1": p[4]["1"]}
    words = " ".join(read_page(made(folders[1:], tmp_path).read_text()).words)
    assert f"McNemar p {p[3]['1']:.2g}" in words


def test_a_set_of_other_images_in_one_run_is_refused(runs):
    ood = json.loads((runs[0] / "ood.json").read_text())
    ood["sets"][0]["data"] = "remade"
    write_json(runs[0] / "ood.json", ood)
    with pytest.raises(InputError, match="not the same images in all runs"):
        build_table(group_runs([read_run(str(folder)) for folder in runs]))


@pytest.mark.parametrize(
    ("bad", "said"), [("wrong", "7 unreadable, counted as wrong"), ("skip", "7 unreadable, left out")]
)
def test_unreadable_images_stand_beside_n(tmp_path, runs, bad, said, made, read_page):
    for folder in runs:
        ood = json.loads((folder / "ood.json").read_text())
        ood["sets"][0] |= {"unreadable": 7, "bad": bad, "knn": {"accuracy": 0.5, "k": 12, "asked": 20}}
        write_json(folder / "ood.json", ood)
    out = made(runs, tmp_path)
    words, notes = " ".join(read_page(out.read_text()).words), out.with_suffix(".md").read_text()
    assert said in words
    assert f"| 400 ({said}) |" in notes
    assert "kNN 50.0 (k = 12)" in words
    rows = json.loads(out.with_suffix(".json").read_text())["table"]
    assert [row["unreadable"] for row in rows if row["name"] in (*SETS,)] == [7] + [0] * (len(SETS) - 1)
    ood["sets"][0] |= {"unreadable": 0, "bad": "error"}
    write_json(runs[0] / "ood.json", ood)
    with pytest.raises(InputError, match="other policies for unreadable images"):
        made(runs, tmp_path)


def test_a_probe_without_validation_says_so(tmp_path, runs, made, read_page):
    for folder in runs:
        write_json(
            folder / "probe.json", json.loads((folder / "probe.json").read_text()) | {"validation": None}
        )
    words = " ".join(read_page(made(runs, tmp_path).read_text()).words)
    assert "lbfgs, the strongest penalty, for want of images to hold out" in words


def test_the_change_of_shape_bias_has_an_interval_over_images(runs):
    draw = np.random.default_rng(3)
    for folder in runs:
        ood = json.loads((folder / "ood.json").read_text())
        row = ood["sets"][-1]
        row["outcomes"] = "outcomes/cue.npz"
        decisions = np.repeat([1, -1, 0], [row["shape"], row["texture"], 300 - row["shape"] - row["texture"]])
        save_outcomes(folder / row["outcomes"], [f"{i}" for i in draw.permutation(300)], decisions)
        write_json(folder / "ood.json", ood)
    row = build_table(group_runs([read_run(str(folder)) for folder in runs]))[-1]
    for cell in row.entries[1:]:
        low, high = cell.difference.over_images
        assert low < cell.difference.mean < high
        assert cell.difference.mcnemar is None


@pytest.mark.parametrize("text", ["[x](javascript:1)", r"a\| b | c", "<b>", "one\ntwo"])
def test_markdown_cells_hold_text(text):
    line = markdown_table(["head"], [[text]])[-1]
    inside = line.removeprefix("| ").removesuffix(" |")
    assert not re.search(r"(?<!\\)(\\\\)*\||\]\(|[<>\n]", inside)


def test_the_probe_row_gives_way_to_the_same_data(runs):
    probe = json.loads((runs[0] / "probe.json").read_text())
    probe["test"]["data"] = "same"
    write_json(runs[0] / "probe.json", probe)
    rows = {row.name: row for row in build_table(group_runs([read_run(str(runs[0]))]))}
    assert PROBE_ROW not in rows
    assert rows["same"].clean
    others = [rows[name].entries[0].mean for name in ("new textures", "outlines")]
    assert rows[OOD_ROW.replace("3", "2")].entries[0].mean == pytest.approx(np.mean(others))
    write_json(runs[0] / "probe.json", {**probe, "test": None})
    assert OOD_ROW in {row.name for row in build_table(group_runs([read_run(str(runs[0]))]))}


def test_the_page_is_whole_and_loads_nothing(tmp_path, runs, made, read_page):
    sheet = tmp_path / "negatives.png"
    Image.new("RGB", (2400, 300), (90, 120, 40)).save(sheet)
    out = made(runs, tmp_path, sheets=(str(sheet),))
    text = out.read_text()
    page = read_page(text)
    outside = [value for value in page.fetched if not value.startswith("#")]  # a drawing points to its parts
    assert outside
    kinds = ("data:image/webp;base64,", "data:text/csv;base64,", "data:text/plain;base64,")
    assert all(value.startswith(kinds) for value in outside)
    assert not re.search(r"@import|url\((?!#)|https?://|//\w+\.\w", text)
    assert "link" not in page.names
    assert page.names.count("img") == 1
    assert page.names.count("script") == 2  # numbers, and what sorts tables
    for tag in ("svg", "table", "section"):
        assert text.count(f"<{tag}") == text.count(f"</{tag}>")


def test_curves_are_those_that_runs_logged(tmp_path, runs, made, read_page):
    words = read_page(made(runs, tmp_path).read_text()).words
    titles = ("Cosine to the positive", "Positives above all negatives, share", "Uniformity", "Tolerance")
    assert set(titles) <= set(words)
    assert "Share of the softmax, p_ns" not in words


def test_every_number_of_the_json_is_on_the_page_and_in_the_markdown(tmp_path, runs, made, read_page):
    out = made(runs, tmp_path)
    numbers = json.loads(out.with_suffix(".json").read_text())
    words, notes = " ".join(read_page(out.read_text()).words), out.with_suffix(".md").read_text()
    shown = []
    for row in numbers["table"]:
        shown += [row["name"], str(row["n"] or ""), percent(row["chance"])]
        for cell in row["cells"]:
            shown += [percent(cell["mean"]), percent(cell["sd"]), interval((cell["low"], cell["high"]))]
            if change := cell["difference"]:
                shown.append(points(change["mean"]))
                shown += [interval(change[name], points) for name in ("over_images", "over_seeds")]
    for row in numbers["analyses"]["similarity"]:
        shown.append(row["name"])
        for cell in row["cells"]:
            shown += [decimal(cell["mean"]), decimal(cell["sd"])]
            if change := cell["difference"]:
                shown += [with_sign(change["mean"]), interval(change["over_seeds"], with_sign)]
    shown = [value for value in shown if value != ABSENT]
    assert len(shown) > 100
    assert [value for value in shown if value not in words] == []
    assert [value for value in shown if value not in notes] == []
    embedded = re.search(r'id="numbers">(.*?)</script>', out.read_text(), re.S)
    assert json.loads(embedded[1]) == numbers


def test_hostile_names_stay_text(tmp_path, fabricate, made, read_page):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>|`"
    sets, arch = {"safe": 0.5, "also": 0.6}, "network.arch"
    folder = fabricate(tmp_path, sets=sets, changes={arch: evil})
    other = fabricate(tmp_path, sets=sets, changes={arch: "$plain$"}, negatives="patch")
    for run in (folder, other):
        ood = json.loads((run / "ood.json").read_text())
        ood["sets"][0]["name"] = ood["sets"][-1]["name"] = evil
        ood["sets"][-1]["by_category"][evil] = {"n": 1, "shape": 1, "texture": 0}
        write_json(run / "ood.json", ood)
    sheet = tmp_path / "<script>sheet.png"
    Image.new("RGB", (8, 8)).save(sheet)
    out = made([folder, other], tmp_path, title=evil, sheets=(str(sheet),))
    page = read_page(out.read_text())
    assert page.names.count("script") == 2
    assert page.names.count("img") == 1
    assert evil in " ".join(page.words)
    assert "<script" not in out.with_suffix(".md").read_text()
    assert "<img" not in out.with_suffix(".md").read_text()


def test_a_bare_run_still_makes_a_page(tmp_path, capsys, fabricate, made, read_page):
    folder = fabricate(tmp_path)
    for name in ("metrics.jsonl", "ood.json", "probe.json", "similarity.json"):
        (folder / name).unlink()
    page = read_page(made([folder], tmp_path).read_text())
    assert "baseline" in " ".join(page.words)
    assert "table" not in page.names
    assert "no run has results yet" in capsys.readouterr().err


def test_wrong_output_and_unreadable_sheet_are_refused(tmp_path, runs, made):
    with pytest.raises(InputError, match=r"must end in \.html"):
        report(ReportConfig((str(runs[0]),), str(tmp_path / "page.txt")))
    with pytest.raises(InputError, match="contact sheet"):
        made(runs, tmp_path, sheets=(str(tmp_path / "absent.png"),))


def change_sets(folder, changes):
    """Change the sets of a run by name."""
    ood = json.loads((folder / "ood.json").read_text())
    sets = [row | changes.get(row["name"], {}) for row in ood["sets"]]
    write_json(folder / "ood.json", ood | {"sets": sets})


def test_only_what_is_alike_is_averaged(tmp_path, fabricate):
    """Two sets of four classes, two of all eight, a rendition, and one that is in distribution."""
    sets = dict(zip("abcde", (0.8, 0.6, 0.7, 0.5, 0.4), strict=True)) | {"cartoon": 0.3}
    few = {"declared": "m", "classes": 4, "chance": 0.25, "choices": 4, "head_classes": 8}
    folder = fabricate(tmp_path, sets=sets)
    change_sets(folder, {"c": few, "d": few, "e": {"in_distribution": True}})
    arms = group_runs([read_run(str(folder))])
    table = build_table(arms)
    assert [(row.group, row.name) for row in table] == [
        ("in distribution", PROBE_ROW),
        ("in distribution", "e"),
        ("out of distribution", "a"),
        ("out of distribution", "b"),
        ("out of distribution", "out of distribution, mean of 2 sets"),
        ("renditions", "cartoon"),
        ("cue sets", "cue conflict"),
        ("subsets of the classes", "c"),
        ("subsets of the classes", "d"),
        ("subsets of the classes", "subsets of the classes, mean of 2 sets"),
    ]
    assert find_headline(table).name == "out of distribution, mean of 2 sets"
    grouped = {row.name: row.group for row in build_table(arms, {"a": "drawings", "b": "drawings"})}
    assert grouped["drawings, mean of 2 sets"] == "drawings"
    assert "out of distribution" not in grouped.values()
    files, memory = {"files": True}, {"jpeg_quality": 85, "constants": "imagenet-c"}
    change_sets(folder, {"c": files, "d": memory, "a": memory, "b": memory | {"jpeg_quality": None}})
    names = [row.name for row in build_table(group_runs([read_run(str(folder))]))]
    assert not any("mean of" in name for name in names)


def test_only_arms_that_are_compared_need_the_same_crops(tmp_path, fabricate):
    """Encoders that have no baseline in common have preprocessings of their own."""
    runs = [fabricate(tmp_path, negatives=kind, sets={"a": 0.5}) for kind in ("none", "patch")]
    for run, cut in zip(runs, ("one", "other"), strict=True):
        change_sets(run, {"a": {"transform": cut}})
    with pytest.raises(InputError, match=r"other crops in some runs \(one; other"):
        build_table(group_runs([read_run(str(run)) for run in runs]))
    record = json.loads((runs[1] / "config.json").read_text())
    record["baseline"] = record["baseline"] | {"bn": "another"}
    write_json(runs[1] / "config.json", record)
    table = build_table(group_runs([read_run(str(run)) for run in runs]))
    assert [len(row.entries) for row in table if row.name == "a"] == [2]


def test_runs_with_other_corruptions_of_a_set_are_refused(tmp_path, fabricate):
    runs = [fabricate(tmp_path, sets={"a": 0.5}, seed=seed) for seed in range(2)]
    for run, quality in zip(runs, (85, None), strict=True):
        change_sets(run, {"a": {"jpeg_quality": quality, "constants": "cifar-c"}})
    arms = group_runs([read_run(str(run)) for run in runs])
    with pytest.raises(InputError, match=r"other corruptions in some runs.*JPEG 85.*no JPEG"):
        build_table(arms)


def test_masked_and_unmasked_stand_in_every_head_and_chance_is_marked(tmp_path, runs, capsys, made):
    for folder in runs:
        change_sets(folder, {"same": {"chance": 0.9, "unmasked": {"accuracy": 0.123}}})
    out = made(runs, tmp_path)
    page, notes, plain = out.read_text(), out.with_suffix(".md").read_text(), capsys.readouterr().out
    assert page.count("<small>masked / unmasked</small>") == 3
    assert notes.count(", masked / unmasked |") == 3
    assert plain.count(", masked / unmasked") == 3
    assert page.partition('id="numbers"')[0].count(">at chance</small>") == 3
    for text in (notes, plain):
        assert text.count("/ 12.3°") == 3
    assert " / 12.3" in page


def test_the_headline_is_the_change_with_its_intervals(tmp_path, runs, made, read_page):
    out = made(runs, tmp_path)
    numbers = json.loads(out.with_suffix(".json").read_text())
    assert numbers["headline"] == OOD_ROW
    rows = {row["name"]: row for row in numbers["table"]}
    change = rows[OOD_ROW]["cells"][1]["difference"]
    tile = " ".join(read_page(out.read_text().partition("</header>")[0]).words)
    assert f"{points(change['mean'])} points" in " ".join(tile.split())
    assert numbers["found"] in " ".join(tile.split())
    for name in ("over_images", "over_seeds"):
        assert interval(change[name], points) in tile
    single = [rows[name]["cells"][1]["difference"]["over_images"] for name in SETS]
    half = np.sqrt(sum((high - low) ** 2 for low, high in single)) / 6
    assert np.subtract(*change["over_images"][::-1]) == pytest.approx(2 * half)


def test_everything_else_is_equal_only_where_it_is(tmp_path, runs, fabricate):
    def said(*folders):
        return describe_equality(group_runs([read_run(str(folder)) for folder in folders]))

    assert said(*runs) == "Everything else is equal."
    assert said(runs[0]) == ""
    assert "seeds differ" in said(*runs[:3])
    longer = fabricate(tmp_path, negatives="patch", changes={"optimisation.epochs": 9})
    assert "settings beside the negatives differ (epochs)" in said(runs[0], longer)
    probe = json.loads((runs[0] / "probe.json").read_text())
    write_json(runs[0] / "probe.json", {**probe, "data": "others"})
    assert "heads were fitted on different images" in said(*runs)
    foreign = tmp_path / "lite"
    foreign.mkdir()
    write_json(foreign / "probe.json", {**probe, "encoder": "e"})
    assert "lite was trained elsewhere" in said(*runs, foreign)


def test_heads_have_rows_of_their_own_and_copies_are_refused(tmp_path, runs):
    folder = runs[0]
    ood = json.loads((folder / "ood.json").read_text())
    first = ood["sets"][0]
    ood["sets"].append({**first, "head_name": "pacs", "outcomes": first["outcomes"]})
    write_json(folder / "ood.json", ood)
    table = build_table(group_runs([read_run(str(folder))]))
    assert [row.head for row in table if row.name == first["name"]] == ["", "pacs"]
    assert [row.head for row in table][-1] == "pacs"
    ood["sets"].append({**first, "name": "also"})
    write_json(folder / "ood.json", ood)
    with pytest.raises(InputError, match="'also' and 'same' are the same images"):
        build_table(group_runs([read_run(str(folder))]))


def test_what_was_left_out_is_said(tmp_path, runs, made):
    left = {"images": 7, "classes": ["x", "y"], "in_no_folder": 2}
    for folder in runs:
        change_sets(folder, {"same": {"left_out": left}})
    out = made(runs, tmp_path)
    for text in (out.read_text(), out.with_suffix(".md").read_text()):
        assert "2 in no folder, 5 images of 2 classes that the head lacks" in text


def test_other_crops_or_classes_in_one_run_are_refused(runs):
    for changed, said in (({"transform": "new"}, "crops"), ({"declared": "pacs"}, "classes")):
        before = (runs[0] / "ood.json").read_bytes()
        change_sets(runs[0], {"same": changed})
        with pytest.raises(InputError, match=f"set 'same' was measured with other {said} in some runs"):
            build_table(group_runs([read_run(str(folder)) for folder in runs]))
        (runs[0] / "ood.json").write_bytes(before)
