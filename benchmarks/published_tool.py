"""CPU time of the published texture tool and of texneg's methods, in turns on one core.

The tool is the command line of EmbarkStudios/texture-synthesis (crate `texture-synthesis-cli`, 0.8). It runs
with its defaults but for the size, one thread (with more it is not reproducible), and no progress bar (which
polls, at the cost of a second core). The exemplars are those of `texneg bench textures`; texneg makes ten
textures by each method after every one of the tool's. A ratio is that of one photograph's times; the median
counts. Starting the tool and reading the exemplars, measured with an output of 8 px, is taken off its time;
writing its PNG file and its coordinate map, a few milliseconds, is not. The quality of the tool's textures is
measured too, beside the stored figures (of forty photographs).
"""

import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from texneg.bench.common.photographs import describe_photos, photo_pairs
from texneg.bench.common.quality import PUBLISHED, Quality, quality, summarise
from texneg.bench.common.results import BenchConfig, write_results
from texneg.cli.fields import Positional
from texneg.errors import InputError
from texneg.textures.presets import METHODS
from texneg.textures.texture import texture, warm_up

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]

OPTIONS = "--seed 0 --threads 1 --no-progress"
SIZE, SMALLEST = 224, 8  # px
SEEDS = 10
MAGIC = 0x12340001  # of the tool's coordinate map


@dataclass(frozen=True)
class PublishedToolConfig(BenchConfig):
    """Time the published texture tool beside texneg's methods."""

    program: Positional[str]
    """path of the published command line"""
    photos_tar: Positional[Path]
    """tar of at least 240 photographs, sides from 96 px"""
    photos: int = 12
    """number of photographs, of the 40 that are chosen"""
    built: str = "not said"
    """how the program was built, for the results"""


def bench(config: PublishedToolConfig) -> int:
    """Measure, print and write the results."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    warm_up()
    with tempfile.TemporaryDirectory(prefix="texneg-bench-") as folder:
        results = measure(config.program, photo_pairs(config.photos_tar)[: config.photos], Path(folder))
    print(json.dumps(results, indent=2))
    write_results(config, results, tool=config.built, photographs=describe_photos(config.photos_tar))
    return 0


def run_tool(program: str, pair: Sequence[U8], size: int, folder: Path) -> tuple[float, U8, I32]:
    """Call the tool; its seconds of CPU, its texture, and exemplar, row and column of each pixel."""
    files = [folder / "a.png", folder / "b.png"]
    for file, exemplar in zip(files, pair, strict=True):
        Image.fromarray(exemplar).save(file)
    out, transform = folder / "out.png", folder / "out.map"
    options = [f"--out-size={size}x{size}", f"--out={out}", *OPTIONS.split()]
    begun = children_seconds()
    subprocess.run([program, *options, "generate", f"--save-transform={transform}", *files], check=True)
    seconds = children_seconds() - begun
    return seconds, np.asarray(Image.open(out).convert("RGB")), read_map(transform, pair)


def children_seconds() -> float:
    """CPU time of all finished child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def read_map(file: Path, pair: Sequence[U8]) -> I32:
    """Read the tool's coordinate map: the sizes of all images, then x, y and exemplar of each pixel."""
    words = np.fromfile(file, np.uint32)
    header, (width, height) = 4 + 2 * len(pair), words[1:3]
    if words[0] != MAGIC or words[3] != len(pair):
        raise InputError(
            f"{file.name} is no coordinate map of version 1 with {len(pair)} exemplars:"
            " give the program of crate version 0.8"
        )
    return words[header:].reshape(height, width, 3)[..., ::-1].astype(np.int32)


def time_methods(pair: Sequence[U8], seed: int) -> dict[str, float]:
    """Time the methods in turns; median seconds of CPU a texture."""
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    for number in range(SEEDS):
        for method in METHODS:
            begun = time.thread_time()
            texture(pair, size=SIZE, seed=seed + number, method=method)
            seconds[method].append(time.thread_time() - begun)
    return {method: median(values) for method, values in seconds.items()}


def measure(program: str, pairs: Sequence[Sequence[U8]], folder: Path) -> dict[str, Any]:
    """Measure times, ratios and the tool's quality."""
    starts, tool = [], []
    ours: dict[str, list[float]] = {method: [] for method in METHODS}
    found: list[Quality] = []
    for k, pair in enumerate(pairs):
        starts.append(run_tool(program, pair, SMALLEST, folder)[0])
        seconds, made, coordinates = run_tool(program, pair, SIZE, folder)
        tool.append(seconds)
        found.append(quality(made, coordinates, pair))
        for method, value in time_methods(pair, SEEDS * k).items():
            ours[method].append(value)
    net = np.array(tool) - median(starts)
    ratios = {method: net / values for method, values in ours.items()}
    figures = summarise(found)
    return {
        "photographs": len(pairs),
        "tool_cpu_seconds": {"median": median(tool), "least": min(tool), "most": max(tool)},
        "tool_start_cpu_seconds": median(starts),
        "texneg_cpu_seconds": {method: median(values) for method, values in ours.items()},
        "tool_over_texneg": {
            method: {"median": float(np.median(each)), "least": float(each.min()), "most": float(each.max())}
            for method, each in ratios.items()
        },
        "tool_quality": {
            name: {"here": figures[name], "stored": stored} for name, stored in PUBLISHED.items()
        },
    }
