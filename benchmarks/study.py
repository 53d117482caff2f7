"""The study on real photographs: pre-train on imagenette at 128 px, probe it, and test other domains of PACS.

Three arms (no negatives, patch, texture), two exams a run: imagenette's own validation images, and PACS with
a head fitted on photos and tested on art, cartoons and sketches. Finished stages are kept, so the same
command goes on after a stop. With `--executor sync` it needs no Dask. Writes OUT/*.html.
"""

import json
import os
import shutil
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from texneg.bench.common.results import BenchConfig, write_results
from texneg.cli.fields import Positional
from texneg.errors import InputError
from texneg.synth.config import SynthConfig
from texneg.synth.run import synth
from texneg.train.config import Negatives
from texneg.train.recipes import recipe
from texneg.train.study import ARMS, Exam, Study, run_study, stopwatch, write_report

PACKS = ("imagenette128/imagenette128-train.zip", "imagenette128/imagenette128-val.zip")
PACS = "pacs128/pacs128.zip"
DOMAINS = ("art_painting", "cartoon", "sketch")
CORES = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class StudyConfig(BenchConfig):
    """Pre-train on imagenette with and without negatives; test on its own images and on PACS."""

    data: Positional[Path]
    """folder of the packs imagenette128/ and, if wanted, pacs128/"""
    scale: Literal["cpu", "gpu"] = "cpu"
    """recipe imagenette128_SCALE"""
    out: Path = Path("runs/study")
    """folder for data, runs and reports"""
    seeds: int = 1
    """runs of each arm"""
    epochs: int | None = None
    """passes over the images; default: the recipe's"""
    arms: tuple[Negatives, ...] = ARMS
    """arms to run"""
    processes: int = min(3, CORES)
    """runs at a time"""
    threads: int = 1
    """CPU threads of each run"""
    executor: Literal["dask", "sync"] = "dask"
    """how textures are made: `sync` where Dask is absent"""


def bench(config: StudyConfig) -> int:
    """Run what is not finished and write the results."""
    out = config.out
    say = stopwatch()
    say(f"unpack -> {out / 'data'}")
    for pack in (*PACKS, *([PACS] if (config.data / PACS).is_file() else [])):
        unpack(config.data / pack, out / "data" / Path(pack).stem)
    images = out / "data" / "imagenette128-train" / "train"
    say(f"textures -> {out / 'textures'}")
    synth(
        SynthConfig(str(images), str(out / "textures"), size=128, exemplar_size=48, executor=config.executor)
    )

    study = plan(config, images)
    say(f"{len(study.jobs)} runs of {study.recipe.epochs} epochs -> {study.folder}")
    run_study(study, processes=config.processes, threads=config.threads, say=say)
    for exam in study.exams:
        write_report(study, exam, out / f"{exam.name or 'imagenette'}.html")
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


def plan(config: StudyConfig, images: Path) -> Study:
    """Choose arms, seeds and the two exams."""
    chosen = recipe(f"imagenette128_{config.scale}")
    loaders = max(1, CORES // config.processes - 1) if chosen.workers else 0
    data = config.out / "data"
    own = Exam(str(images), str(data / "imagenette128-val" / "val"), sets=())
    pacs = data / "pacs128"
    domains = tuple(f"{name}={pacs / name}" for name in DOMAINS)
    other = Exam(str(pacs / "photo"), None, domains, name="pacs")
    return Study(
        folder=str(config.out / "runs"),
        recipe=replace(chosen, data=str(images), epochs=config.epochs or chosen.epochs, workers=loaders),
        textures=str(config.out / "textures"),
        exams=(own, other) if pacs.is_dir() else (own,),
        arms=config.arms,
        seeds=config.seeds,
    )


def collect_results(study: Study, out: Path) -> dict[str, object]:
    """Collect the tables of the reports and the cosines of the negatives."""
    names = [exam.name or "imagenette" for exam in study.exams]
    reports = {name: json.loads((out / f"{name}.json").read_text()) for name in names}
    return {
        "epochs": study.recipe.epochs,
        "pretraining": reports["imagenette"]["protocol"]["pre-training"],
        "similarity": reports["imagenette"]["similarity"],
        "tables": {name: numbers["table"] for name, numbers in reports.items()},
    }
