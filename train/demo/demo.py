"""`texneg demo`: all of texneg in two acts, on a CPU in minutes.

Act one: the embedded images, and photographs where a folder of them is given, with every kind of negative and
its figures; a texture run on a Dask cluster that is killed and goes on, to the same bytes. Act two:
pre-training without and with negatives, what can then be read of shape and of texture, one report. What is
finished is kept: the same command goes on where it stopped.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from texneg.cli import console
from texneg.cores import available_cores
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError
from texneg.train.study import Study, stopwatch, write_report

if TYPE_CHECKING:
    from texneg.train.demo.negatives import Subject

PHOTOGRAPHS = "sheet-photographs.png"


@dataclass(frozen=True)
class DemoConfig:
    """The method, end to end, on shapes that are told apart most easily by their textures."""

    out: str = "runs/demo"
    """folder for data, textures, runs and the report"""
    act: Literal[1, 2] | None = None
    """1: negatives, and a texture run that is killed; 2: training and the report. Default: both"""
    photos: str | None = None
    """folder of 20 or more photographs, with or without class folders: act one shows their negatives, too"""
    encoder: str | None = None
    """run folder, encoder.pt, file of another project's weights, or timm:NAME: what it still finds in the
    negatives of --photos, which then need class folders"""
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
    from texneg.train.demo.experiment import plan_study

    if config.seeds < 1:
        raise InputError(f"--seeds {config.seeds}: must be at least 1")
    if config.workers < 0:
        raise InputError(f"--workers {config.workers}: 0 or more")
    if config.encoder and not config.photos:
        raise InputError(f"--encoder {config.encoder}: it looks at photographs; give --photos, too")
    if config.photos and config.act == 2:
        raise InputError(f"--photos {config.photos}: act one shows them; leave --act 2 out")
    if config.photos:
        from texneg.train.demo.negatives import choose_side

        choose_side(config.photos)  # refuses what could not be shown
    out = Path(config.out)
    require_folder(out, "--out")
    study = plan_study(out, seeds=config.seeds, alpha=config.alpha, epochs=config.epochs)
    for arm in study.arms.values():
        arm.check()
    workers, log = config.workers or available_cores(), stopwatch()
    if config.act != 2:
        play_first(config, out, study, workers, log)
    if config.act != 1:
        play_second(config, out, study, workers, log)
    else:
        again = shlex.join(["texneg", "demo", "--out", config.out, "--act", "2"])
        log(f"look at {out / 'sheet.png'}; act two, training: {again}")
    return 0


def play_first(config: DemoConfig, out: Path, study: Study, workers: int, log: Callable[[str], None]) -> None:
    """Show negatives of the embedded images and of photographs; kill a texture run, and let it go on."""
    from texneg.train.demo.data import write_data
    from texneg.train.demo.kill import kill_and_resume, make_textures
    from texneg.train.demo.negatives import KEY, show_negatives

    log(f"act one, 1/3: the embedded images -> {out / 'data'}")
    write_data(out)
    log("act one, 2/3: every kind of negative (the first call on a machine compiles for half a minute)")
    for line in KEY:
        console.out(f"             {line}")
    show_negatives(embedded(out, study), log)
    if config.photos:
        show_negatives(photographs(out, config), log)
    log(f"act one, 3/3: a texture for every image by a Dask cluster of {workers} cores, which is killed")
    kill_and_resume(out, workers=workers, log=log)
    if config.photos:
        make_textures(config.photos, out / "textures-photographs", workers=workers, log=log)


def play_second(
    config: DemoConfig, out: Path, study: Study, workers: int, log: Callable[[str], None]
) -> None:
    """Train and test, see what the trained encoder finds in the negatives, report."""
    from texneg.train.demo.experiment import run_experiment
    from texneg.train.demo.negatives import show_negatives

    log("act two, 1/2: training without and with negatives")
    run_experiment(out, study, workers=workers, log=log)
    log("act two, 2/2: what the encoder without negatives still finds in them")
    show_negatives(embedded(out, study), log)
    log(f"the report -> {out / 'report.html'}")
    others = [str(path) for path in (out / PHOTOGRAPHS,) if path.is_file()]
    write_report(study, out / "report.html", sheets=others)


def embedded(out: Path, study: Study) -> "Subject":
    """The embedded training images, with the encoder of the first run where it is trained."""
    from texneg.train.demo.negatives import Subject

    encoder = study.run_folder(*study.jobs[0]) / "encoder.pt"
    return Subject(
        str(out / "data" / "train"), out / "sheet.png", out / "audit", encoder if encoder.is_file() else None
    )


def photographs(out: Path, config: DemoConfig) -> "Subject":
    """The user's photographs."""
    from texneg.train.demo.negatives import Subject

    assert config.photos
    return Subject(config.photos, out / PHOTOGRAPHS, out / "audit-photographs", config.encoder)
