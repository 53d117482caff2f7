"""The study on real photographs: pre-train on imagenette at 128 px, probe it, and test other domains of PACS.

Arms are the baseline and any negatives at any weights; two evaluations a run: imagenette's own validation
images, and PACS with a head fitted on photos and tested on art, cartoons and sketches. Finished stages are
kept, so the same command goes on after a stop. With `--executor sync` it needs no Dask. Writes OUT/*.html.
"""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from texneg.bench.common.results import BenchConfig, write_results
from texneg.cli.fields import Positional
from texneg.cores import available_cores
from texneg.datasets.storage.json_files import read_json
from texneg.errors import InputError
from texneg.synth.synth import SynthConfig, synth
from texneg.train.flags import change
from texneg.train.recipes import find_recipe
from texneg.train.study import Evaluation, Study, run_study, stopwatch, write_report

PACKS = ("imagenette128/imagenette128-train.zip", "imagenette128/imagenette128-val.zip")
PACS = "pacs128/pacs128.zip"
DOMAINS = ("art_painting", "cartoon", "sketch")
CORES = available_cores()


@dataclass(frozen=True)
class StudyConfig(BenchConfig):
    """Pre-train on imagenette with and without negatives; test on its own images and on PACS."""

    data: Positional[Path]
    """folder of the packs imagenette128/ and, if wanted, pacs128/"""
    scale: Literal["cpu", "gpu"] = "cpu"
    """recipe imagenette128_SCALE"""
    out: Path = Path("runs/study")
    """folder for data, runs and the report"""
    seeds: int = 1
    """runs of each arm"""
    epochs: int | None = None
    """passes over the images; default: the recipe's"""
    negatives: tuple[str, ...] = ("patch", "texture")
    """kinds of negatives, an arm each beside the baseline"""
    alphas: tuple[float, ...] = (2.0,)
    """weights of the negatives, an arm of each kind for each"""
    processes: int = min(3, CORES)
    """runs at a time"""
    threads: int = 1
    """CPU threads of each run"""
    executor: Literal["dask", "sync"] = "dask"
    """how textures are made: `sync` where Dask is absent"""


def bench(config: StudyConfig) -> int:
    """Run what is not finished and write the results."""
    out = config.out
    log = stopwatch()
    log(f"unpack -> {out / 'data'}")
    for pack in (*PACKS, *([PACS] if (config.data / PACS).is_file() else [])):
        unpack(config.data / pack, out / "data" / Path(pack).stem)
    images = out / "data" / "imagenette128-train" / "train"
    log(f"textures -> {out / 'textures'}")
    synth(
        SynthConfig.flat(
            str(images), str(out / "textures"), size=128, exemplar_size=48, executor=config.executor
        )
    )

    study = plan_study(config, images)
    log(f"{len(study.jobs)} runs of {epochs_of(study)} epochs -> {study.folder}")
    run_study(study, processes=config.processes, threads=config.threads, log=log)
    write_report(study, out / "report.html")
    write_results(config, collect_results(study, out))
    return 0


def unpack(pack: Path, folder: Path) -> None:
    """Extract a zip of the study's data, once and completely."""
    if folder.exists():
        return
    if not pack.is_file():
        raise InputError(f"{pack} is missing; DATA must hold {', '.join(PACKS)}")
    half = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(half)
    half.rename(folder)


def plan_study(config: StudyConfig, images: Path) -> Study:
    """Choose arms, seeds and the two evaluations."""
    recipe, textures = find_recipe(f"imagenette128_{config.scale}"), str(config.out / "textures")
    base = change(
        recipe,
        data=str(images),
        textures=textures,
        epochs=config.epochs or recipe.optimisation.epochs,
        workers=max(1, CORES // config.processes - 1) if recipe.run.workers else 0,
    )
    arms = {
        f"{kind}, alpha {alpha:g}": change(base, negatives=kind, alpha=alpha)
        for kind in config.negatives
        for alpha in config.alphas
    }
    data = config.out / "data"
    own = Evaluation(str(images), str(data / "imagenette128-val" / "val"), sets=())
    pacs = data / "pacs128"
    domains = tuple(f"{name}={pacs / name}" for name in DOMAINS)
    other = Evaluation(str(pacs / "photo"), None, domains, name="pacs")
    return Study(
        folder=str(config.out / "runs"),
        arms={"baseline": base.baseline(), **arms},
        evaluations=(own, other) if pacs.is_dir() else (own,),
        textures=textures,
        seeds=config.seeds,
    )


def collect_results(study: Study, out: Path) -> dict[str, object]:
    """Collect the table of the report and the cosines of the negatives."""
    report = read_json(out / "report.json")
    return {
        "epochs": epochs_of(study),
        "pretraining": report["protocol"]["pre-training"],
        "analyses": report["analyses"],
        "table": report["table"],
    }


def epochs_of(study: Study) -> int:
    """Passes over the images in each run."""
    return next(iter(study.arms.values())).optimisation.epochs
