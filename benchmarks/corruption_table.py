"""A table of ImageNet-C made on the fly: shares of its time, its memory from cell to cell, and a kill.

A pre-trained encoder with its own classifier on images in class folders by WordNet id, all corruptions and
severities; one thread for the network and two for the images. Then a smaller table twice: once as it is, once
killed after some cells and gone on with, which must give the same ood.json.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from texneg.bench.common.ratios import one_thread
from texneg.bench.common.results import BenchConfig, write_results
from texneg.cli import console
from texneg.datasets.corruptions.corrupt import choose_corruptions, corrupt
from texneg.datasets.corruptions.draws import image_draws
from texneg.errors import InputError, RunFailed
from texneg.train.evaluate import ood as verb
from texneg.train.evaluate.ood import OodConfig, ood
from texneg.train.evaluate.sets import corruptions
from texneg.train.evaluate.sets.base import Cell, Measurement, ProbedEncoder
from texneg.train.networks.imported import Foreign

KILL_AFTER, KILL_IMAGES, KILL_CELLS = 4, 16, 12
WARM = 5  # cells after which memory is to stay as it is


@dataclass(frozen=True)
class TableConfig(BenchConfig):
    """Measure a table of corruptions: shares of time, memory over its cells, and a kill."""

    photos: Path
    """class folders of images by WordNet id"""
    weights: Path
    """encoder with a classifier of ImageNet's 1,000 classes"""
    arch: str = "tf_efficientnet_lite0.in1k"
    """its architecture, by timm's name"""
    images: int = 1000
    """images of each cell, spread evenly over the folders"""
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    """of the fifteen corruptions"""
    batch: int = 64
    """images a forward pass"""
    skip_kill: bool = False
    """leave out the two smaller tables, one of which is killed"""


class Clock:
    """CPU seconds by purpose, over threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def wrap(self, purpose: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose time counts."""

        def timed(*args: Any, **options: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                spent = time.thread_time() - start
                with self._lock:
                    self.seconds[purpose] = self.seconds.get(purpose, 0.0) + spent

        return timed


@dataclass(frozen=True)
class Watched(corruptions.Corruptions):
    """Corruptions that say after each cell how much memory the process holds."""

    def measure(self, cell: Cell, images: Any, probed: ProbedEncoder) -> Measurement:
        """Measure a cell."""
        found = super().measure(cell, images, probed)
        RESIDENT.append(read_resident())
        console.info(f"{cell.part}: {RESIDENT[-1]:.0f} MB")
        return found


RESIDENT: list[float] = []
"""MB after each cell."""
PATCHED = ((vars(corruptions), "corrupt"), (vars(corruptions), "reencode"), (vars(verb), "open_encoder"))
"""Functions that are watched, by their modules."""


def bench(config: TableConfig) -> int:
    """Make the table and print its figures; 1 where memory grows or the killed table differs."""
    RESIDENT.clear()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found = choose_images(config.photos, root / "photos", config.images)
        few = 0 if config.skip_kill else choose_images(config.photos, root / "few", KILL_IMAGES)
        cv2.setNumThreads(1)
        clock = Clock()
        compile_all()
        with one_thread(), watch(clock):
            start = time.monotonic()
            ood(make_config(config, root / "photos", root / "table", Watched))
            wall = time.monotonic() - start
        result = json.loads((root / "table" / "ood.json").read_text("utf-8"))["sets"][0]
        same = config.skip_kill or compare_after_kill(config, root)
    cells, spent = len(RESIDENT), clock.seconds
    growth = RESIDENT[-1] - RESIDENT[min(WARM, cells) - 1]
    figures: dict[str, Any] = {
        "images": found,
        "cells": cells,
        "seconds": round(wall, 1),
        "cpu_seconds": {name: round(seconds, 1) for name, seconds in spent.items()},
        "corruption_of_network": round(spent["corruption"] / spent["network"], 3),
        "resident_mb": {"after_cell_5": RESIDENT[min(WARM, cells) - 1], "after_last": RESIDENT[-1]},
        "peak_mb": max(RESIDENT),
        "accuracy": result["value"],
    }
    if not config.skip_kill:
        figures["killed_table"] = {
            "images": few,
            "cells": KILL_CELLS,
            "killed_after": KILL_AFTER,
            "same": same,
        }
    print(json.dumps(figures, indent=2))
    write_results(config, figures)
    flat = growth < 0.05 * RESIDENT[-1]
    return 0 if flat and same else 1


def compile_all() -> None:
    """Compile every corruption, so that neither its time nor its memory counts."""
    for name in choose_corruptions(("all",)):
        draws = image_draws(0, name, 1, "")
        corrupt(np.zeros((224, 224, 3), np.uint8), name, severity=1, draws=draws)


def choose_images(source: Path, target: Path, number: int) -> int:
    """Link so many images of class folders, spread evenly; returns how many there are.

    Raises:
        InputError: there are none.
    """
    folders = [folder for folder in sorted(source.iterdir()) if folder.is_dir()]
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    if not paths:
        raise InputError(f"--photos {source}: no class folders with images")
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, number).astype(int))]
    for path in chosen:
        folder = target / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path.resolve())
    return len(chosen)


def make_config(
    config: TableConfig, photos: Path, out: Path, kind: type[corruptions.Corruptions]
) -> OodConfig:
    """The command of a table."""
    out.mkdir()
    table = kind(
        corrupt=(f"photos={photos}",), severities=config.severities, corrupt_classes=("photos=folders",)
    )
    return OodConfig(
        str(config.weights),
        str(out),
        head=("own",),
        batch=config.batch,
        device="cpu",
        foreign=Foreign(arch=config.arch),
        kinds=(table,),
    )


@contextmanager
def watch(clock: Clock) -> Iterator[None]:
    """Count the CPU time of corruptions with their JPEG files, and of the network."""
    module, opened = vars(corruptions), vars(verb)
    before = [(names, name, names[name]) for names, name in PATCHED]

    def open_watched(*args: Any) -> Any:
        encoder = before[-1][2](*args)
        encoder.network.backbone.forward = clock.wrap("network", encoder.network.backbone.forward)
        return encoder

    module["corrupt"] = clock.wrap("corruption", module["corrupt"])
    module["reencode"] = clock.wrap("jpeg", module["reencode"])
    opened["open_encoder"] = open_watched
    try:
        yield
    finally:
        for names, name, value in before:
            names[name] = value


def read_resident() -> float:
    """Memory that this process holds, MB."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def compare_after_kill(config: TableConfig, root: Path) -> bool:
    """Make a small table twice, once with a kill after some cells; True if both give the same ood.json.

    Raises:
        RunFailed: a command failed.
    """
    names = choose_corruptions(("all",))[:KILL_CELLS]
    words = [
        *(sys.executable, "-m", "texneg", "ood", str(config.weights), "--arch", config.arch, "--head", "own"),
        *("--device", "cpu", "--corrupt", f"photos={root / 'few'}", "--corrupt-classes", "photos=folders"),
        *("--corruptions", *names, "--severities", str(config.severities[-1])),
    ]
    results = []
    for name in ("whole", "killed"):
        out = root / name
        out.mkdir()
        if name == "killed":
            kill_after_cells([*words, "--out", str(out)], out / "cells.jsonl")
        made = subprocess.run([*words, "--out", str(out)], capture_output=True, text=True, check=False)
        if made.returncode:
            raise RunFailed(made.stderr.strip().splitlines()[-1])
        results.append((out / "ood.json").read_bytes())
        shutil.rmtree(out)
    return results[0] == results[1]


def kill_after_cells(words: list[str], cells: Path) -> None:
    """Start a command and kill its process group once some cells are finished.

    Raises:
        RunFailed: it ended before.
    """
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not cells.is_file() or cells.read_text("utf-8").count("\n") < KILL_AFTER:
        if process.poll() is not None:
            raise RunFailed(f"the table ended (status {process.returncode}) before it could be killed")
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
