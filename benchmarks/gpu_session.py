"""One session on a GPU that is lent for minutes: checks of every CUDA path, speed, a study of three arms.

Everything that is done is written to OUT/session.json at once, and the same command goes on after a stop.
The study has the time that is left: its epochs are chosen once, by the speed of a few steps of each arm.
Without a GPU everything runs on the CPU, at --size tiny in a test.
"""

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from texneg.bench import e2e, gpu, step
from texneg.bench.common.ratios import Row, table
from texneg.bench.common.results import BenchConfig, write_results
from texneg.bench.gpu_checks import list_checks
from texneg.cli import console
from texneg.cli.environment import environment
from texneg.cli.fields import Positional
from texneg.datasets.storage.json_files import read_json, read_json_lines, write_json
from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.data.splits import open_train
from texneg.train.device import pick_device
from texneg.train.evaluate.probe import ProbeConfig, probe
from texneg.train.flags import change
from texneg.train.pretrain import run_pretraining
from texneg.train.recipes import find_recipe

ARMS: dict[str, dict[str, Any]] = {
    "none": {"negatives": "none"},
    "patch": {"negatives": "patch"},
    "texture live": {"negatives": "texture_live"},
}
MOST_EPOCHS = 200
CLOSING_S = 20.0  # kept for the probe of a run and for writing
SPEED_SHARE = 0.45  # of the time: checks and speed; the study has the rest, and more if they take less
TRIAL_STEPS = 8


@dataclass(frozen=True)
class SessionConfig(BenchConfig):
    """Check, measure and train on a GPU within a few minutes."""

    data: Positional[Path]
    """labelled images with a train and a val split, such as tiny16 or imagenette"""
    out: Path = Path("runs/gpu")
    """folder for session.json and the runs of the study"""
    minutes: float = 9.0
    """time for this call; a second one goes on"""
    seeds: int = 3
    """runs of each arm"""
    epochs: int | None = None
    """passes of each run; none: as many as fit, 200 at most"""
    size: Literal["full", "tiny"] = "full"
    """tiny: small networks and few steps, to try the script"""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N"""
    workers: int = 8
    """loader processes of a run"""


class Session:
    """Results so far, and the time that is left."""

    def __init__(self, config: SessionConfig) -> None:
        self.config, self.path = config, config.out / "session.json"
        self.end = time.monotonic() + 60 * config.minutes
        self.done: dict[str, Any] = read_json(self.path) if self.path.is_file() else {}
        self.done.setdefault("environments", []).append(environment())

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def write(self) -> None:
        """Write session.json."""
        write_json(self.path, self.done)

    def keep(self, part: str, name: str, make: Callable[[], Any]) -> None:
        """Do one thing, or leave it as it was done; an error is its result, so that others go on."""
        found = self.done.setdefault(part, {})
        if name in found and "error" not in found[name]:
            return
        start = time.monotonic()
        try:
            found[name] = {"result": make()}
        except Exception as error:  # a session is too dear to end for one
            found[name] = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        found[name]["seconds"] = round(time.monotonic() - start, 2)
        self.write()
        shown = found[name].get("error") or found[name]["result"]
        line = shown if isinstance(shown, str) else "done"
        console.info(f"[{self.left:4.0f} s left] {part}: {name}: {line}")


def bench(config: SessionConfig) -> int:
    """Do what is not done and what there is time for; 1 where a check failed."""
    if config.minutes <= 0 or config.seeds < 1:
        raise InputError(f"--minutes {config.minutes:g} --seeds {config.seeds}: above 0, and at least 1")
    device = torch.device(pick_device(config.device))
    config.out.mkdir(parents=True, exist_ok=True)
    session = Session(config)
    total = session.left
    for name, check in list_checks(str(config.data), config.out / "check").items():
        session.keep("checks", name, lambda check=check: check(device))  # type: ignore[misc]
    shutil.rmtree(config.out / "check", ignore_errors=True)
    for name, measure in list_measurements(config, device).items():
        if session.left > (1 - SPEED_SHARE) * total:
            session.keep("speed", name, measure)
    run_arms(session, device)
    session.write()
    rows = [Row(**row) for found in session.done.get("speed", {}).values() for row in found.get("result", ())]
    failed = [name for name, found in session.done["checks"].items() if "error" in found]
    console.out(table(rows))
    console.out(describe_study(session.done.get("study", {})))
    console.out(f"checks: {len(session.done['checks']) - len(failed)} passed, {len(failed)} failed {failed}")
    write_results(config, session.done)
    return 1 if failed else 0


def list_measurements(config: SessionConfig, device: torch.device) -> dict[str, Callable[[], Any]]:
    """List what is timed, the most useful first."""
    tiny = config.size == "tiny"
    cases = step.CASES | step.GPU_CASES
    names = [*step.GPU_CASES, step.RESNET18]
    if tiny:
        cases = {name: shrink(case) for name, case in cases.items()}
    training = study_config(config, "patch", 0, epochs=1)

    def rows(found: list[Row]) -> list[dict[str, Any]]:
        return [asdict(row) for row in found]

    made: dict[str, Callable[[], Any]] = {}
    for name in names:
        made[f"step, {name}"] = lambda name=name: rows(  # type: ignore[misc]
            step.measure(name, cases[name], device, rounds=1 if tiny else 5)
        )
    steps = 2 if tiny else 60
    made["a whole training"] = lambda: rows(e2e.measure("study", training, steps=steps))
    if device.type == "cuda":
        made["patch kernels"] = lambda: rows(gpu.patch_rows(device, batch=256, side=224, rounds=5))
        made["negatives of a step"] = lambda: rows(gpu.training_rows(PretrainConfig(), device, rounds=5))
    return made


def shrink(config: PretrainConfig) -> PretrainConfig:
    """Make a case tiny."""
    small = {
        "arch": "resnet18",
        "stem": "stride2",
        "width": 4,
        "layers": (1, 1, 1, 1),
        "dim": 8,
        "hidden": 16,
    }
    return change(config, image_size=32, batch=8, bn_group=4, queue=16, **small)


def study_config(config: SessionConfig, arm: str, seed: int, *, epochs: int) -> PretrainConfig:
    """Choose a run of the study: ResNet-18, 64 px, MoCo-v2, images resident."""
    base = change(
        find_recipe("imagenette128_gpu"), image_size=64, resident=80, workers=config.workers, knn_every=0,
        data=str(config.data), device=config.device, epochs=epochs, seed=seed, arm=arm, recipe="gpu",
        out=str(config.out / f"{arm.replace(' ', '-')}-s{seed}"), checkpoint_every=100, **ARMS[arm],
    )  # fmt: skip
    base = shrink(change(base, workers=0, resident=48)) if config.size == "tiny" else base
    queue = min(getattr(base.method, "queue", 0), len(open_train(base.run.data)) // 2)
    return change(base, queue=queue)


def run_arms(session: Session, device: torch.device) -> None:
    """Train and probe every run for which there is time, seed by seed; one that is stopped goes on later."""
    config, done = session.config, session.done
    if "epochs" not in done:
        session.keep("trial", "seconds of an epoch", lambda: time_epochs(config))
        trial = done["trial"]["seconds of an epoch"]
        if "error" in trial:
            return
        seconds = sum(trial["result"].values()) * config.seeds
        fit = int((session.left - CLOSING_S * len(ARMS) * config.seeds * (config.size == "full")) / seconds)
        done["epochs"] = config.epochs or max(1, min(MOST_EPOCHS, fit))
        session.write()
    for seed in range(config.seeds):
        for arm in ARMS:
            name = f"{arm}, seed {seed}"
            if session.left > CLOSING_S or config.size == "tiny":
                session.keep("study", name, lambda arm=arm, seed=seed: train_arm(session, arm, seed))  # type: ignore[misc]


def time_epochs(config: SessionConfig) -> dict[str, float]:
    """Time a few steps of each arm: seconds of an epoch."""
    seconds = {}
    for arm in ARMS:
        run = study_config(config, arm, 0, epochs=1)
        whole, *_ = e2e.measure(arm, run, steps=2 if config.size == "tiny" else TRIAL_STEPS)
        seconds[arm] = len(open_train(run.run.data)) / whole.figures[e2e.RATE]
    return seconds


def train_arm(session: Session, arm: str, seed: int) -> dict[str, Any]:
    """Train a run as far as the time goes, and probe it when it is finished."""
    config = session.config
    run = study_config(config, arm, seed, epochs=session.done["epochs"])
    deadline = time.monotonic() + session.left - CLOSING_S

    def watch(line: str) -> None:
        if time.monotonic() > deadline and config.size == "full":
            raise TimeoutError(f"no time left at: {line}; the same command goes on")

    folder = run_pretraining(replace(run, run=replace(run.run, log_every=20)), log=watch)
    probe(ProbeConfig(str(folder), str(config.data), str(folder), device=config.device))
    found = read_json(folder / "probe.json")
    return {"epochs": run.optimisation.epochs, "test": found["test"], "seconds": read_seconds(folder)}


def read_seconds(folder: Path) -> float:
    """Read how long a run trained."""
    return float(read_json_lines(folder / "metrics.jsonl")[-1]["seconds"])


def describe_study(study: dict[str, Any]) -> str:
    """Write a line for each run that is finished."""
    lines = ["", "linear probe, percent"]
    for name, found in study.items():
        test = (found.get("result") or {}).get("test")
        lines.append(f"  {name:<24}{100 * test['accuracy']:.1f}" if test else f"  {name:<24}unfinished")
    return "\n".join(lines)
