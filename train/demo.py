"""`texneg demo`: the whole story on the embedded data set, on a CPU in minutes.

Images, their textures through an embedded Dask cluster, pre-training without negatives, with patch and with
texture negatives; then what can be read of shape and of texture from the features, one report. What is
finished is kept: running it again goes on where it stopped.
"""

from dataclasses import dataclass
from pathlib import Path

from texneg.cores import available_cores
from texneg.datasets.storage.places import require_folder
from texneg.datasets.toy.embedded import TEST_SETS, EmbeddedConfig, write_embedded
from texneg.errors import InputError
from texneg.train.study import Evaluation, Study, quiet, run_study, stopwatch, write_report

EXEMPLAR_PX = 24  # of the 64 px images: a piece of the figure and a piece of the ground
SHARD = 320  # images; four tasks, so that every core has one


@dataclass(frozen=True)
class DemoConfig:
    """The method, end to end, on shapes that are told apart most easily by their textures."""

    out: str = "runs/demo"
    """folder for data, textures, runs and the report"""
    seeds: int = 3
    """runs of each of the three arms (baseline, patch, texture)"""
    alpha: float | None = None
    """weight of the negatives inside the exponent; none: the recipe's"""
    epochs: int | None = None
    """passes over the training images; none: the recipe's"""
    workers: int = 0
    """CPU cores to use; 0 is all of this machine"""


def demo(config: DemoConfig) -> int:
    """Run every stage that is not finished, print the table and where the report is."""
    if config.seeds < 1:
        raise InputError(f"--seeds {config.seeds}: must be at least 1")
    if config.workers < 0:
        raise InputError(f"--workers {config.workers}: 0 or more")
    out = Path(config.out)
    require_folder(out, "--out")
    study = plan_study(out, config)
    for arm in study.arms.values():
        arm.check()
    workers = config.workers or available_cores()
    log = stopwatch()

    log(f"1/4 the embedded data set -> {out / 'data'}")
    write_embedded(out / "data", EmbeddedConfig())

    log(f"2/4 a texture for every training image, {workers} Dask workers -> {out / 'textures'}")
    make_textures(out, workers)

    log(f"3/4 {len(study.jobs)} runs, pre-trained and tested, {workers} at a time -> {study.folder}")
    run_study(study, processes=workers, threads=1, log=lambda line: log(f"    {line}"))

    log(f"4/4 the report -> {out / 'report.html'}")
    write_report(study, out / "report.html")
    return 0


def make_textures(out: Path, workers: int) -> None:
    """`texneg synth` on the training images, at their size."""
    from texneg.synth.synth import SynthConfig, synth

    with quiet(out / "synth.log"):
        status = synth(
            SynthConfig.flat(
                str(out / "data" / "train"),
                str(out / "textures"),
                size=EmbeddedConfig.size,
                exemplar_size=EXEMPLAR_PX,
                workers=workers,
                shard_size=SHARD,
            )
        )
    if status:
        raise KeyboardInterrupt


def plan_study(out: Path, config: DemoConfig) -> Study:
    """Three arms on the training images, and heads for shape, for texture and of biased labels."""
    from texneg.train.flags import change
    from texneg.train.recipes import find_recipe

    given = {name: getattr(config, name) for name in ("alpha", "epochs")}
    flags = {name: value for name, value in given.items() if value is not None}
    data, textures = out / "data", str(out / "textures")
    base = change(find_recipe("demo"), data=str(data / "train"), textures=textures, **flags)
    test, by_texture = data / "test", data / "by-texture"
    plain = tuple(f"{name}={test / name}" for name in TEST_SETS if name not in ("same", "cue-conflict"))
    conflict = (f"cue-conflict={test / 'cue-conflict'}",)
    evaluations = (
        Evaluation(str(data / "train"), str(test / "same"), plain, name="shape"),
        Evaluation(str(by_texture / "train"), str(by_texture / "test"), (), name="texture"),
        Evaluation(str(data / "biased"), None, conflict, conflict, name="biased"),
    )
    arms = {"baseline": base.baseline(), "patch": base, "texture": change(base, negatives="texture")}
    return Study(
        folder=str(out / "runs"),
        arms=arms,
        evaluations=evaluations,
        textures=textures,
        seeds=config.seeds,
    )
