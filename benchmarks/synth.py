"""Throughput of `texneg synth`, part by part, on a tar or tree of photographs.

    python benchmarks/synth.py imagenet-photos-000000.tar

First the whole run in one process without Dask, per format: milliseconds an image for each stage (of the
fastest repeat) and the share of the kernel in the whole. Then through an embedded cluster
with one and with two threads, and with two processes. Every run is a fresh one on the same images, and all of
them must leave the same bytes. Prints a table and writes `results/synth.json`.
"""

import argparse
import contextlib
import io
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from texneg.cli.environment import environment
from texneg.synth.config import SynthConfig
from texneg.synth.run import synth

FORMATS = ("folder", "webdataset")
OUT = Path(__file__).parent / "results" / "synth.json"
LAYOUTS = {"1 thread": (1, 1), "2 threads": (2, 2), "2 processes": (2, 1)}


def one_run(src: str, folder: Path, **options: Any) -> dict[str, Any]:
    """Stages, images, seconds and checksums of one fresh run."""
    dst = folder / "out"
    cpu, wall = time.process_time(), time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = synth(SynthConfig.flat(src, str(dst), **options))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if status:
        sys.exit(f"texneg synth ended with status {status}")
    ledger = folder / "out.texneg"
    stats = json.loads((ledger / "stats.json").read_bytes())
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


def alone(src: str, folder: Path, form: str, repeats: int) -> tuple[dict[str, Any], bytes]:
    """The best of some runs in this process, and the checksums of what it made."""
    runs = [one_run(src, folder, format=form, executor="sync") for _ in range(repeats)]
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


def through_dask(src: str, folder: Path, form: str, repeats: int, expected: bytes) -> dict[str, float]:
    """Images per second by layout, without the start of the cluster."""
    rates = {}
    for name, (workers, threads) in LAYOUTS.items():
        runs = [
            one_run(src, folder, format=form, workers=workers, threads_per_worker=threads)
            for _ in range(repeats)
        ]
        if any(run["sums"] != expected for run in runs):
            sys.exit(f"{name}: other bytes than the run in one process")
        rates[name] = round(max(run["images"] / run["seconds"] for run in runs), 1)
    return rates


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("src", help="tar or class-folder tree of photographs")
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of each kind; the best counts (default 3)"
    )
    arguments = parser.parse_args()
    command = f"python benchmarks/synth.py {Path(arguments.src).name} --repeats {arguments.repeats}"
    results: dict[str, Any] = {"environment": {**environment(), "command": command}, "formats": {}}
    with tempfile.TemporaryDirectory(prefix="texneg-bench-") as scratch:
        folder = Path(scratch)
        one_run(arguments.src, folder, executor="sync", limit=8)  # compiles the kernel
        for form in FORMATS:
            result, sums = alone(arguments.src, folder, form, arguments.repeats)
            result["dask_images_per_second"] = through_dask(
                arguments.src, folder, form, arguments.repeats, sums
            )
            results["formats"][form] = result
            print(form, json.dumps(result, indent=2))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(results, indent=2) + "\n")
    print(OUT)


if __name__ == "__main__":
    main()
