"""Arms by seeds: pre-train, probe, test and analyse each, several at a time, and go on where it stopped."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TYPE_CHECKING

from texneg.cli import console
from texneg.cli.guard import explain_rerun, refuse_rerun
from texneg.cli.signals import block_stop_signals, catch_stop_signals, early_requests
from texneg.errors import InputError, RunFailed
from texneg.train.worker import prepare_process, remember_requests

if TYPE_CHECKING:
    from texneg.train.config import PretrainConfig

OURS = InputError, RunFailed, OSError
SHEET_PX = 128  # pictures of a contact sheet have at least this side


@dataclass(frozen=True)
class Evaluation:
    """A linear probe and the test sets that its head is measured on."""

    data: str
    """Labelled images that the head is fitted on."""
    test: str | None
    """Labelled test images of the same distribution."""
    sets: tuple[str, ...]
    """Other test sets, NAME=PATH."""
    cue_conflict: tuple[str, ...] = ()
    """Cue-conflict sets for shape bias, NAME=PATH."""
    classes: tuple[str, ...] = ()
    """Class maps of the other test sets, NAME=MAP."""
    leave_out: bool = False
    """Leave out images of classes that the head does not know, instead of refusing their set."""
    name: str = ""
    """Of the head, where a study has several."""


@dataclass(frozen=True)
class Study:
    """Named configurations that are compared, each with several seeds.

    base = find_recipe("demo")
    Study("runs/alpha", {f"alpha {a}": change(base, alpha=a) for a in (1, 2, 4)}, evaluations)
    """

    folder: str
    """Run folders are FOLDER/<arm>-s<seed>."""
    arms: "Mapping[str, PretrainConfig]"
    """Configurations by their names in the report; seed and run folder are set here."""
    evaluations: tuple[Evaluation, ...]
    """Tests of each run, a head each."""
    textures: str = ""
    """Textures of the training images, for the similarities and the contact sheet; empty: none."""
    seeds: int = 2
    """Runs of each arm, seeds 0, 1, ..."""
    devices: tuple[str, ...] = ()
    """Devices to share the runs among, one run on each at a time; empty: that of each configuration."""

    def __post_init__(self) -> None:
        folders = [folder_name(arm) for arm in self.arms]
        if not folders or len(set(folders)) < len(folders) or "" in folders:
            raise InputError(f"arms {list(self.arms)}: one or more names that differ in letters or digits")
        if self.seeds < 1:
            raise InputError(f"seeds {self.seeds}: a study needs one run of each arm, at least")

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """(arm, seed), seed by seed, so that a study that is stopped compares what it has."""
        return [(arm, seed) for seed in range(self.seeds) for arm in self.arms]

    def run_folder(self, arm: str, seed: int) -> Path:
        """Folder of one run."""
        return Path(self.folder) / f"{folder_name(arm)}-s{seed}"

    def run_config(self, arm: str, seed: int, device: str = "") -> "PretrainConfig":
        """Return the configuration of one run, on a device other than its own if that is given."""
        config = self.arms[arm]
        run = replace(
            config.run, out=str(self.run_folder(arm, seed)), arm=arm, device=device or config.run.device
        )
        return replace(config, seed=seed, run=run)


def folder_name(arm: str) -> str:
    """Write the name of an arm as the name of a folder."""
    return "-".join(re.findall(r"[A-Za-z0-9_.]+", arm))


def run_study(
    study: Study,
    *,
    processes: int,
    threads: int,
    log: Callable[[str], None],
    jobs: Sequence[tuple[str, int]] | None = None,
) -> None:
    """Finish the runs of a study.

    Args:
        study: arms, seeds and evaluations.
        processes: runs at a time.
        threads: CPU threads of each.
        log: receives a line for each run that ends.
        jobs: arms and seeds to finish; None for all.

    Raises:
        InputError, RunFailed: naming the runs that failed; the others are finished before.
        KeyboardInterrupt: stopped by a signal, with the state of the runs under way saved.
    """
    refuse_rerun()
    wanted = study.jobs if jobs is None else jobs
    processes = min(processes, len(study.devices) or processes)
    others = set(active_children())
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=prepare_process, initargs=(threads,)
    )
    with explain_rerun():
        try:
            failures = run_jobs(study, wanted, pool, processes=processes, log=log)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                log("stopping; runs under way save their state")
            # Interrupted again while it waits, Python would believe that all has ended, and hang at exit.
            with catch_stop_signals():
                for process in set(active_children()) - others:
                    process.terminate()  # asks for a stop, where the signal was for this process alone
                pool.shutdown()
            if isinstance(error, BrokenProcessPool):
                raise RunFailed(
                    "the process of a run was killed, perhaps because the machine ran out of memory;"
                    " the same command goes on, better with fewer runs at a time"
                ) from error
            raise
        with catch_stop_signals() as stop:
            pool.shutdown()
        if stop.is_set():
            raise KeyboardInterrupt
    if failures:
        raise join_failures(failures, len(wanted))


def join_failures(failures: Mapping[str, BaseException], total: int) -> BaseException:
    """Return a single failure as it is, several of ours as one that names all, else the first of others."""
    errors = list(failures.values())
    others = [error for error in errors if not isinstance(error, OURS)]
    if others or len(errors) == 1:
        return (others or errors)[0]
    causes: dict[str, list[str]] = {}
    for name, error in failures.items():
        causes.setdefault(str(error), []).append(name)
    listed = "; ".join(f"{' and '.join(names)}: {cause}" for cause, names in causes.items())
    return RunFailed(f"{len(errors)} of {total} failed: {listed}")


def run_jobs(
    study: Study,
    jobs: Sequence[tuple[str, int]],
    pool: ProcessPoolExecutor,
    *,
    processes: int,
    log: Callable[[str], None],
) -> dict[str, BaseException]:
    """Run these jobs of a study, so many at a time; returns the errors of those that failed, by their name.

    Raises:
        KeyboardInterrupt: a run was asked to stop.
        BrokenProcessPool: the process of a run died.
    """
    width = max(map(len, study.arms))
    failures: dict[str, BaseException] = {}
    waiting, running = list(reversed(jobs)), dict[Future[float], tuple[str, int, str]]()
    free = list(study.devices) or [""] * processes
    while waiting or running:
        # No more than can run: the pool would start one that waits even after Ctrl-C.
        while waiting and len(running) < processes:
            arm, seed = waiting.pop()
            with block_stop_signals(spawning=True):
                device = free.pop(0)
                running[pool.submit(run_job, study, arm, seed, device)] = (arm, seed, device)
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            arm, seed, device = running.pop(future)
            free.append(device)
            if error := future.exception():
                if isinstance(error, KeyboardInterrupt | BrokenProcessPool):
                    raise error
                failures[f"{arm}, seed {seed}"] = error
                continue
            log(f"{arm:<{width}}  seed {seed}  {future.result():4.0f} s")
    return failures


def run_job(study: Study, arm: str, seed: int, device: str = "") -> float:
    """Finish one run with its evaluations, on its own device or this one; return the seconds that it took."""
    from texneg.train.evaluate.analyses.similarity import Similarity
    from texneg.train.evaluate.analyze import analyze, is_current
    from texneg.train.pretrain import run_pretraining

    start = time.monotonic()
    folder, config = study.run_folder(arm, seed), study.run_config(arm, seed, device)
    data, device, failures = config.run.data, config.run.device, dict[str, BaseException]()
    stages: list[tuple[str, Callable[[], object]]] = [
        (f"evaluation {one.name}".strip(), partial(evaluate, one, folder, device))
        for one in study.evaluations
    ]
    similarity = Similarity(str(folder), data, str(folder), textures=study.textures or None, device=device)
    if not is_current(similarity):
        stages.append(("similarity", partial(analyze, similarity)))
    early = early_requests()
    with (
        catch_stop_signals(patience=0, once=True) as stop,
        quiet(folder / "log.txt"),
        remember_requests(stop, early),
    ):
        if early and early.is_set():
            raise KeyboardInterrupt
        run_pretraining(config)
        for name, stage in stages:
            try:
                stage()
            except OURS as error:
                failures[name] = error
    if failures:
        raise join_failures(failures, len(stages))
    return time.monotonic() - start


def evaluate(evaluation: Evaluation, folder: Path, device: str) -> None:
    """Fit the evaluation's head on a finished run and measure its test sets, on this device."""
    from texneg.train.evaluate.ood import OodConfig, ood
    from texneg.train.evaluate.probe import ProbeConfig, is_current, probe
    from texneg.train.evaluate.sets.accuracy import Accuracy
    from texneg.train.evaluate.sets.shape_bias import ShapeBias

    out = str(folder)
    probed = ProbeConfig(
        out,
        evaluation.data,
        out,
        name=evaluation.name,
        test=evaluation.test,
        in_distribution=evaluation.test is not None,
        device=device,
        leave_out=evaluation.leave_out,
    )
    if not is_current(probed):
        probe(probed)
    if evaluation.sets or evaluation.cue_conflict:
        kinds = (
            Accuracy(evaluation.sets, classes=evaluation.classes, leave_out=evaluation.leave_out),
            ShapeBias(evaluation.cue_conflict),
        )
        ood(OodConfig(out, out, head=(evaluation.name,) * bool(evaluation.name), kinds=kinds, device=device))


def write_report(
    study: Study,
    out: Path,
    *,
    jobs: Sequence[tuple[str, int]] | None = None,
    sheets: Sequence[str] = (),
) -> None:
    """Report runs of a study, with a contact sheet of its negatives.

    The sheet is `sheet.png` beside the page, which is made unless it is there.

    Args:
        study: arms and seeds.
        out: the page, ending in .html.
        jobs: arms and seeds to show; None for all.
        sheets: further contact sheets to show.
    """
    from texneg.train.negatives import Negatives
    from texneg.train.report.report import ReportConfig, report
    from texneg.train.sheet.sheet import SheetConfig, write_sheet

    picture = out.with_name("sheet.png")
    negatives = [config for config in study.arms.values() if config.negatives.kinds]
    if negatives and not picture.is_file():
        data, side = negatives[0].run.data, sheet_side(max(config.views.image_size for config in negatives))
        kinds = dict.fromkeys(kind for config in negatives for kind, _ in config.negatives.kinds)
        with quiet(out.with_name("sheet.log")):
            sheet = SheetConfig(data, str(picture), textures=study.textures or None, size=side)
            write_sheet(sheet, [Negatives.of(kind) for kind in kinds])
    runs = tuple(str(study.run_folder(arm, seed)) for arm, seed in jobs or study.jobs)
    own = (str(picture),) if negatives else ()
    report(ReportConfig(runs, out=str(out), sheets=(*own, *sheets)))


def sheet_side(view: int) -> int:
    """Return the side of a sheet's pictures: a multiple of the view's, so that options of negatives fit."""
    return view * -(-SHEET_PX // view)


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[None]:
    """Send what a stage prints and warns to its log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


def stopwatch() -> Callable[[str], None]:
    """Return a printer that puts the seconds since now in front of each line."""
    start = time.monotonic()
    return lambda text: console.out(f"[{time.monotonic() - start:4.0f} s] {text}")
