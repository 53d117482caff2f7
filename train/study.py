"""Arms by seeds: pre-train, probe, test and analyse each, several at a time, and go on where it stopped."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from texneg.train.config import Negatives, PretrainConfig

ARMS: tuple[Negatives, ...] = ("none", "patch", "texture")
SHEET_PX = 128  # side of a picture on the contact sheet


@dataclass(frozen=True)
class Exam:
    """A linear probe and the test sets that its head is measured on."""

    data: str
    """labelled images that the head is fitted on"""
    test: str | None
    """labelled test images of the same distribution"""
    sets: tuple[str, ...]
    """other test sets, NAME=PATH"""
    cue_conflict: tuple[str, ...] = ()
    """cue-conflict sets for shape bias, NAME=PATH"""
    name: str = ""
    """subfolder of the run for its results; empty: the run folder itself"""


@dataclass(frozen=True)
class Study:
    """What is compared with what."""

    folder: str
    """run folders are FOLDER/<arm>-s<seed>"""
    recipe: PretrainConfig
    """settings that all arms share"""
    textures: str
    """texture set of the training images"""
    exams: tuple[Exam, ...]
    """what each run is tested on; a report shows one of them"""
    arms: tuple[Negatives, ...] = ARMS
    """kinds of negatives"""
    seeds: int = 2
    """runs of each arm, seeds 0, 1, ..."""

    @property
    def jobs(self) -> list[tuple[Negatives, int]]:
        """(arm, seed), seed by seed, so that a study that is stopped compares what it has."""
        return [(arm, seed) for seed in range(self.seeds) for arm in self.arms]

    def run_folder(self, arm: Negatives, seed: int) -> Path:
        """Folder of one run."""
        return Path(self.folder) / f"{arm}-s{seed}"


def run_study(study: Study, *, processes: int, threads: int, say: Callable[[str], None]) -> None:
    """Finish every run of a study.

    Args:
        study: arms, seeds and exams.
        processes: runs at a time.
        threads: CPU threads of each.
        say: receives a line for each run that ends.

    Raises:
        InputError, RunFailed: of the first run that fails; the others are finished before.
        KeyboardInterrupt: stopped by SIGINT, with the state of the runs under way saved.
    """
    failures: list[BaseException] = []
    waiting, running = list(reversed(study.jobs)), dict[Future[float], tuple[Negatives, int]]()
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=limit_threads, initargs=(threads,)
    ) as pool:
        while waiting or running:
            # No more than can run: the pool would start one that waits even after Ctrl-C.
            while waiting and len(running) < processes:
                arm, seed = waiting.pop()
                running[pool.submit(run_job, study, arm, seed)] = (arm, seed)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                arm, seed = running.pop(future)
                if error := future.exception():
                    if isinstance(error, KeyboardInterrupt):
                        raise error
                    failures.append(error)
                    continue
                say(f"{arm:<8} seed {seed}  {future.result():4.0f} s")
    if failures:
        raise failures[0]


def limit_threads(threads: int) -> None:
    """Called in each process before its first run."""
    import torch

    torch.set_num_threads(threads)


def run_job(study: Study, arm: Negatives, seed: int) -> float:
    """One run with its exams; returns the seconds it took now."""
    from texneg.train.evaluate.analyses.similarity import Similarity
    from texneg.train.evaluate.analyze import analyze
    from texneg.train.pretrain import run_pretraining

    start = time.monotonic()
    folder = study.run_folder(arm, seed)
    recipe = replace(
        study.recipe,
        textures=study.textures if arm == "texture" else "",
        out=str(folder),
        negatives=arm,
        seed=seed,
    )
    with quiet(folder / "log.txt"):
        run_pretraining(recipe)
        for exam in study.exams:
            sit(exam, folder)
        if not (folder / "similarity.json").is_file():
            analyze(Similarity(str(folder), recipe.data, str(folder), textures=study.textures))
    return time.monotonic() - start


def sit(exam: Exam, folder: Path) -> None:
    """Fit the exam's head on a finished run and measure its test sets."""
    from texneg.train.evaluate.ood import OodConfig, ood
    from texneg.train.evaluate.probe import ProbeConfig, probe
    from texneg.train.evaluate.sets.accuracy import Accuracy
    from texneg.train.evaluate.sets.shape_bias import ShapeBias

    out = folder / exam.name
    if not (out / "probe.json").is_file():  # what a probe writes last
        probe(ProbeConfig(str(folder), exam.data, str(out), test=exam.test))
    if exam.sets or exam.cue_conflict:
        head = f"{out}/head.pt"
        kinds = (Accuracy(exam.sets), ShapeBias(exam.cue_conflict))
        ood(OodConfig(str(folder), head, str(out), kinds=kinds))
    if exam.name:
        shutil.copy(folder / "config.json", out / "config.json")


def write_report(study: Study, exam: Exam, out: Path) -> None:
    """`texneg report` over all runs of a study on one of its exams, with a contact sheet of its negatives."""
    from texneg.train.report.report import ReportConfig, report
    from texneg.train.sheet.sheet import SheetConfig, sheet

    picture = out.with_name("sheet.png")
    if not picture.is_file():
        with quiet(out.with_name("sheet.log")):
            sheet(SheetConfig(study.recipe.data, str(picture), textures=study.textures, size=SHEET_PX))
    runs = tuple(str(study.run_folder(arm, seed) / exam.name) for arm, seed in study.jobs)
    report(ReportConfig(runs, out=str(out), sheets=(str(picture),)))


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send what a stage prints and warns to its log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


def stopwatch() -> Callable[[str], None]:
    """A printer that puts the seconds since now before each line."""
    start = time.monotonic()
    return lambda text: print(f"[{time.monotonic() - start:4.0f} s] {text}", flush=True)
