"""People beside runs: the published format of trials, kappa with each, the range of their shape bias."""

import json

import numpy as np
import pytest

from texneg.cli.main import main
from texneg.errors import InputError
from texneg.train.evaluate.metrics.error_consistency import kappa
from texneg.train.report.metrics.consistency import compare_people, compare_with_people
from texneg.train.report.metrics.humans import is_alike, measure_human_bias, read_humans, read_people, shorten

HEAD = "subj,Session,trial,rt,object_response,category,condition,imagename"


def write_trials(folder, subject, trials, *, name=""):
    """A file as model-vs-human has them; trials are (response, category, condition, image)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{subject},1,{i},0.7,{','.join(trial)}" for i, trial in enumerate(trials, 1)]
    (folder / f"{folder.name}_{subject}{name}_session_1.csv").write_text("\n".join([HEAD, *rows]) + "\n")


def test_names_of_stimuli():
    assert shorten("0001_cl_s01_cr_oven_40_n04111531_14126") == "n04111531_14126"
    assert shorten("cat/cat1-dog2") == shorten("0007_airplane_cat1-dog2") == "cat1-dog2"
    assert is_alike("Edges", "edge")
    assert is_alike("cue conflict", "cue-conflict")
    assert not is_alike("silhouettes", "edge")


def test_trials_of_people_alone_are_read(tmp_path):
    folder = tmp_path / "cue-conflict"
    write_trials(
        folder, "subject-01", [("cat", "cat", "NaN", "cat1-dog2.png"), ("na", "dog", "NaN", "dog1-cat2.png")]
    )
    write_trials(folder, "resnet50", [("dog", "cat", "NaN", "cat1-dog2.png")])
    found = read_people(folder)
    assert [(one.subject, one.image, one.response) for one in found.trials] == [
        ("subject-01", "cat1-dog2", "cat"),
        ("subject-01", "dog1-cat2", "na"),
    ]
    assert read_humans([str(tmp_path)], ["conflict", "other"]).keys() == {"conflict"}
    assert read_humans([f"other={folder}"], ["other"]).keys() == {"other"}
    with pytest.raises(InputError, match="no set 'third'"):
        read_humans([f"third={folder}"], ["other"])
    with pytest.raises(InputError, match=r"no folder with the name of a set .other."):
        read_humans([str(folder)], ["other"])
    (folder / "bad.csv").write_text("a,b\n")
    with pytest.raises(InputError, match="no column subj, object_response"):
        read_people(folder)
    only = tmp_path / "models"
    write_trials(only, "resnet50", [("dog", "cat", "0", "x.png")])
    with pytest.raises(InputError, match="no trial of a person"):
        read_people(only)


def test_mean_over_people_then_over_conditions(tmp_path):
    draw = np.random.default_rng(0)
    folder, images = tmp_path / "set", [f"i{i}" for i in range(60)]
    answers = {
        (subject, condition): draw.random(30) < 0.7
        for subject in ("subject-01", "subject-02")
        for condition in "ab"
    }
    for subject in ("subject-01", "subject-02"):
        trials = [
            ("cat" if right else "na", "cat", condition, f"{images[30 * (condition == 'b') + i]}.png")
            for condition in "ab"
            for i, right in enumerate(answers[subject, condition])
        ]
        write_trials(folder, subject, trials)
    people = read_people(folder).restrict(images, "set")
    run = dict(zip(images, (draw.random(60) < 0.6).tolist(), strict=True))
    mine = {"a": np.array(list(run.values())[:30]), "b": np.array(list(run.values())[30:])}
    expected = np.mean(
        [np.mean([kappa(mine[c], answers[s, c]) for s in ("subject-01", "subject-02")]) for c in "ab"]
    )
    assert compare_with_people(run, people) == pytest.approx(expected)
    ceiling = np.mean([kappa(answers["subject-01", c], answers["subject-02", c]) for c in "ab"])
    assert compare_people(people) == pytest.approx(ceiling)
    assert compare_with_people({"else": True}, people) is None


def test_an_image_of_several_conditions_is_refused(tmp_path):
    folder = tmp_path / "colour"
    write_trials(folder, "subject-01", [("cat", "cat", "cr", "i1.png")])
    write_trials(folder, "subject-02", [("cat", "cat", "bw", "i1.png")])
    with pytest.raises(InputError, match="i1 was shown in several conditions"):
        read_people(folder).restrict(["i1"], "colour")
    assert read_people(folder).restrict(["i2"], "colour") == {}


def test_shape_bias_of_people_by_category(tmp_path):
    folder = tmp_path / "cue-conflict"
    names = ["cat1-dog2", "cat2-car1", "dog1-cat10"]
    for subject, said in (("subject-01", ("cat", "cat", "cat")), ("subject-02", ("dog", "cat", "na"))):
        write_trials(
            folder, subject, [(a, n[:3], "NaN", f"{n}.png") for a, n in zip(said, names, strict=True)]
        )
    found = measure_human_bias(read_people(folder).restrict(names, "x"))
    assert found.subjects == {"subject-01": pytest.approx(2 / 3), "subject-02": 0.5}
    assert (found.low, found.high, found.n) == (0.5, pytest.approx(2 / 3), 3)
    assert found.by_category == {"cat": {"subject-01": 1.0, "subject-02": 0.5}, "dog": {"subject-01": 0.0}}
    assert measure_human_bias({}) is None


def test_people_in_a_report(make_run, tmp_path, capsys):
    run = make_run("run")
    kept = run.answer(40, 1.5, seed=0, keys=[f"c{i % 10}/image{i}" for i in range(40)])
    run.add("sketch", kept)
    run.write()
    folder = tmp_path / "raw-data" / "sketch"
    said = np.random.default_rng(0).random((2, 40)) < 0.8
    for person, right in enumerate(said, 1):
        trials = [
            (f"c{i % 10}" if right[i] else "na", f"c{i % 10}", "0", f"00{i}_sk_dnn_image{i}.png")
            for i in range(40)
        ]
        write_trials(folder, f"subject-0{person}", trials)
    out = tmp_path / "report.html"
    assert main(["report", str(run.path), "--human", str(folder.parent), "--out", str(out)]) == 0
    [one] = json.loads(out.with_suffix(".json").read_text())["metrics"]["humans"]
    right = kept.values == 1
    assert one["arms"][0]["mean"] == pytest.approx(np.mean([kappa(right, theirs) for theirs in said]))
    assert one["between_people"] == pytest.approx(kappa(*said))
    assert (one["people"], one["n"]) == (2, 40)
    assert one["intervals"][0][0] < one["arms"][0]["mean"] < one["intervals"][0][1]
    assert "Beside people" in capsys.readouterr().out
    (folder / "sketch_subject-01_session_1.csv").unlink()
    (folder / "sketch_subject-02_session_1.csv").unlink()
    write_trials(folder, "subject-01", [("c1", "c1", "0", "elsewhere.png")])
    assert main(["report", str(run.path), "--human", str(folder), "--out", str(out)]) == 2
    assert "people saw no image of sketch; images are matched by their names" in capsys.readouterr().err
    assert main(["report", str(run.path), "--human", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "no such folder" in capsys.readouterr().err
