"""Act two: pre-training without negatives, with patch and with texture negatives, tests, one report."""

from collections.abc import Callable
from pathlib import Path

from texneg.synth.synth import synth
from texneg.train.demo.data import texture_run, write_data
from texneg.train.flags import change
from texneg.train.recipes import find_recipe
from texneg.train.study import Evaluation, Study, quiet, run_study

SHORTCUT_GONE = ("new-textures", "silhouettes", "line-drawings")


def plan_study(out: Path, *, seeds: int, alpha: float | None, epochs: int | None) -> Study:
    """Three arms on the training images, and heads for shape, for texture and of biased labels.

    Args:
        out: folder of the demo.
        seeds: runs of each arm.
        alpha: weight of the negatives; None for the recipe's.
        epochs: passes over the training images; None for the recipe's.
    """
    flags = {name: value for name, value in (("alpha", alpha), ("epochs", epochs)) if value is not None}
    data, textures = out / "data", str(out / "textures")
    base = change(find_recipe("demo"), data=str(data / "train"), textures=textures, **flags)
    test, by_texture = data / "test", data / "by-texture"
    without = tuple(f"{name}={test / name}" for name in SHORTCUT_GONE)
    conflict = (f"cue-conflict={test / 'cue-conflict'}",)
    evaluations = (
        Evaluation(str(data / "train"), str(test / "same"), without, name="shape"),
        Evaluation(str(by_texture / "train"), str(by_texture / "test"), (), name="texture"),
        Evaluation(str(data / "biased"), None, conflict, conflict, name="biased"),
    )
    arms = {"baseline": base.baseline(), "patch": base, "texture": change(base, negatives="texture")}
    return Study(
        folder=str(out / "runs"),
        arms=arms,
        evaluations=evaluations,
        textures=textures,
        seeds=seeds,
    )


def run_experiment(out: Path, study: Study, *, workers: int, log: Callable[[str], None]) -> None:
    """Finish the textures and every run of the study.

    Raises:
        KeyboardInterrupt: a signal stopped it; the same call goes on.
    """
    write_data(out)
    log(f"a texture for every training image -> {out / 'textures'}")
    with quiet(out / "synth.log"):
        status = synth(texture_run(out, out / "textures", workers=workers))
    if status:
        raise KeyboardInterrupt
    log(f"{len(study.jobs)} runs, pre-trained and tested, {workers} at a time -> {study.folder}")
    run_study(study, processes=workers, threads=1, log=lambda line: log(f"    {line}"))
