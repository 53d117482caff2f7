"""Throughput of `texneg synth`, stage by stage, on a tar or tree of photographs.

First the whole run in one process without Dask, per format: milliseconds an image for each stage (of the
fastest repeat) and the share of the kernel in the whole. Then through an embedded cluster with one and with
two threads, and with two processes. Every run is a fresh one on the same images, and all of them must leave
the same bytes.
"""

import contextlib
import io
import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.bench.common.results import BenchConfig, write_results
from texneg.cli.fields import Positional
from texneg.datasets.storage.json_files import read_json
from texneg.errors import RunFailed
from texneg.synth.synth import SynthConfig, synth

FORMATS = ("folder", "webdataset")
LAYOUTS = {"1 thread": (1, 1), "2 threads": (2, 2), "2 processes": (2, 1)}


@dataclass(frozen=True)
class SynthBenchConfig(BenchConfig):
    """Measure the throughput of `texneg synth`, stage by stage."""

    src: Positional[str]
    """tar or class-folder tree of photographs"""
    repeats: int = 3
    """runs of each kind; the best counts"""


def bench(config: SynthBenchConfig) -> int:
    """Measure every format, print and write the results."""
    formats = {}
    with tempfile.TemporaryDirectory(prefix="texneg-bench-") as scratch:
        folder = Path(scratch)
        run_once(config.src, folder, executor="sync", limit=8)  # compiles the kernel
        for form in FORMATS:
            result, sums = run_alone(config.src, folder, form, config.repeats)
            rates = run_through_dask(config.src, folder, form, config.repeats, sums)
            formats[form] = {**result, "dask_images_per_second": rates}
            print(form, json.dumps(formats[form], indent=2))
    write_results(config, {"formats": formats})
    return 0


def run_once(src: str, folder: Path, **options: Any) -> dict[str, Any]:
    """Make one fresh run; its stages, images, seconds and checksums."""
    dst = folder / "out"
    cpu, wall = time.process_time(), time.perf_counter()
    run_quietly(SynthConfig.flat(src, str(dst), **options))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    ledger = folder / "out.texneg"
    stats = read_json(ledger / "stats.json")
    result = {
        "images": stats["statuses"]["ok"],
        "ms": stats["ms_per_image"],
        "seconds": stats["calls"][0]["seconds"],
        "cpu": cpu,
        "wall": wall,
        "sums": (ledger / "SHA256SUMS").read_bytes(),
        "bytes": sum(path.stat().st_size for path in dst.rglob("*") if path.is_file()),
    }
    shutil.rmtree(dst)
    shutil.rmtree(ledger)
    return result


def run_quietly(config: SynthConfig) -> None:
    """Run `texneg synth` without its output."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = synth(config)
    if status:
        raise RunFailed(f"texneg synth ended with status {status}; run it on the same images to see why")


def run_alone(src: str, folder: Path, form: str, repeats: int) -> tuple[dict[str, Any], bytes]:
    """Run several times in this process; the best of the runs, and the checksums of its textures."""
    runs = [run_once(src, folder, format=form, executor="sync") for _ in range(repeats)]
    best = min(runs, key=lambda run: run["wall"])
    whole = 1000 * best["wall"] / best["images"]
    return {
        "images": best["images"],
        "images_per_second_per_core": round(1000 / whole, 1),
        "ms_per_image": {
            **best["ms"],
            "all else": round(whole - sum(best["ms"].values()), 3),
            "whole": round(whole, 3),
        },
        "cpu_ms_per_image": round(1000 * best["cpu"] / best["images"], 3),
        "kernel_share": round(best["ms"]["synthesis"] / whole, 3),
        "kib_per_texture": round(best["bytes"] / best["images"] / 1024, 1),
    }, best["sums"]


def run_through_dask(src: str, folder: Path, form: str, repeats: int, expected: bytes) -> dict[str, float]:
    """Run on an embedded cluster; images per second by layout, without the start of the cluster."""
    rates = {}
    for name, (workers, threads) in LAYOUTS.items():
        runs = [
            run_once(src, folder, format=form, workers=workers, threads_per_worker=threads)
            for _ in range(repeats)
        ]
        if any(run["sums"] != expected for run in runs):
            raise RunFailed(f"{name}: other bytes than the run in one process")
        rates[name] = round(max(run["images"] / run["seconds"] for run in runs), 1)
    return rates
