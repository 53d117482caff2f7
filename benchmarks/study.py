"""The study on real photographs: pre-train on imagenette at 128 px, probe it, and test other domains of PACS.

    python benchmarks/study.py DATA [--scale cpu|gpu] [--seeds N] [--epochs N] [--out runs/study]

DATA is the folder that holds the packs `imagenette128/` and, if wanted, `pacs128/`. Three arms (no negatives,
patch, texture), two exams a run: imagenette's own validation images, and PACS with a head fitted on photos
and tested on art, cartoons and sketches. Finished stages are kept, so the same command goes on after a stop.
With `--executor sync` it needs no dask. Writes OUT/*.html and benchmarks/results/study-SCALE.json.
"""

import argparse
import json
import os
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

from texneg.cli.environment import environment
from texneg.datasets.storage.atomic import write_json
from texneg.synth.config import SynthConfig
from texneg.synth.run import synth
from texneg.train.recipes import recipe
from texneg.train.study import ARMS, Exam, Study, run_study, stopwatch, write_report

PACKS = ("imagenette128/imagenette128-train.zip", "imagenette128/imagenette128-val.zip")
PACS = "pacs128/pacs128.zip"
DOMAINS = ("art_painting", "cartoon", "sketch")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run what is not finished and write the results."""
    options = arguments()
    out = Path(options.out)
    say = stopwatch()
    say(f"unpack -> {out / 'data'}")
    for pack in (*PACKS, *([PACS] if (Path(options.data) / PACS).is_file() else [])):
        unpack(Path(options.data) / pack, out / "data" / Path(pack).stem)
    images = out / "data" / "imagenette128-train" / "train"
    say(f"textures -> {out / 'textures'}")
    synth(
        SynthConfig.flat(
            str(images), str(out / "textures"), size=128, exemplar_size=48, executor=options.executor
        )
    )

    study = plan(options, out, images)
    say(f"{len(study.jobs)} runs of {study.recipe.epochs} epochs -> {study.folder}")
    run_study(study, processes=options.processes, threads=options.threads, say=say)
    for exam in study.exams:
        write_report(study, exam, out / f"{exam.name or 'imagenette'}.html")
    write_results(options, out, study)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of the packs imagenette128/ and pacs128/")
    parser.add_argument("--scale", choices=("cpu", "gpu"), default="cpu", help="recipe imagenette128_SCALE")
    parser.add_argument("--out", default="runs/study", help="folder for data, runs and reports")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each arm")
    parser.add_argument("--epochs", type=int, help="passes over the images; default: the recipe's")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--processes", type=int, default=min(3, cores), help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each run")
    parser.add_argument(
        "--executor", choices=("dask", "sync"), default="dask", help="sync where dask is absent"
    )
    return parser.parse_args()


def unpack(pack: Path, folder: Path) -> None:
    """Extract a zip of the study's data, once and completely."""
    if folder.exists():
        return
    if not pack.is_file():
        sys.exit(f"{pack} is missing; DATA must hold {', '.join(PACKS)}")
    half = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(half)
    half.rename(folder)


def plan(options: argparse.Namespace, out: Path, images: Path) -> Study:
    """Arms, seeds and the two exams."""
    chosen = recipe(f"imagenette128_{options.scale}")
    loaders = max(1, len(os.sched_getaffinity(0)) // options.processes - 1) if chosen.workers else 0
    own = Exam(str(images), str(out / "data" / "imagenette128-val" / "val"), sets=())
    pacs = out / "data" / "pacs128"
    domains = tuple(f"{name}={pacs / name}" for name in DOMAINS)
    other = Exam(str(pacs / "photo"), None, domains, name="pacs")
    return Study(
        folder=str(out / "runs"),
        recipe=replace(chosen, data=str(images), epochs=options.epochs or chosen.epochs, workers=loaders),
        textures=str(out / "textures"),
        exams=(own, other) if pacs.is_dir() else (own,),
        arms=tuple(options.arms),
        seeds=options.seeds,
    )


def write_results(options: argparse.Namespace, out: Path, study: Study) -> None:
    """The two reports' tables and the cosines of the negatives, with the command and the machine."""
    command = " ".join(["python benchmarks/study.py DATA", *sys.argv[2:]])  # without this machine's paths
    names = [exam.name or "imagenette" for exam in study.exams]
    reports = {name: json.loads((out / f"{name}.json").read_text()) for name in names}
    write_json(
        RESULTS / f"study-{options.scale}.json",
        {
            "environment": {**environment(), "command": command},
            "epochs": study.recipe.epochs,
            "pretraining": reports["imagenette"]["protocol"]["pre-training"],
            "similarity": reports["imagenette"]["similarity"],
            "tables": {name: numbers["table"] for name, numbers in reports.items()},
        },
    )


if __name__ == "__main__":
    sys.exit(main())
