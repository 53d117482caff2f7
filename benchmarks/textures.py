"""Time and quality of texture synthesis on forty photographs, beside the tool it replaces.

    python benchmarks/textures.py imagenet-photos-000000.tar

Exemplars without randomness: names in the tar sorted bytewise, every sixth, the first forty (k = 0 ... 39);
96 px at the centre, and 96 px at top (h - 96) (37 k mod 101) / 100, left (w - 96) (61 k mod 101) / 100,
rounded down.
The anchor is EmbarkStudios/texture-synthesis at commit 22825ec, default settings, one thread, on the same
forty pairs; its figures were measured once elsewhere, so quality is given as a ratio to it, and time is
this machine's. Averages: medians for time, seams, verbatim sizes and tail, means for the rest.
"""

import argparse
import hashlib
import json
import platform
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from PIL import Image

from texneg.synth.quality import quality
from texneg.synth.texture import METHOD_VERSION, METHODS, texture, texture_map, warm_up

U8 = npt.NDArray[np.uint8]

PHOTOS, EVERY, SIDE = 40, 6, 96
OUT = Path(__file__).parent / "results" / "textures.json"

ANCHOR = {
    "swd": 8.40,
    "gradient_w1": 4.59,
    "seam_ratio": 1.04,
    "largest_verbatim": 2488,
    "mean_verbatim": 507,
    "imbalance": 0.62,
    "coverage": 0.47,
}
# Ratios to the anchor that a release has to keep; coverage from below, the others from above.
REQUIRED = {
    "fast": (0.75, 0.70, 1.08, 0.60, 0.55, 0.25, 1.4),
    "default": (0.75, 0.70, 1.00, 0.60, 0.55, 0.25, 1.4),
    "quality": (0.75, 0.65, 0.87, 0.45, 0.30, 0.25, 1.4),
}


def exemplar_pairs(tar: Path) -> list[list[U8]]:
    """Forty pairs of (96, 96, 3) exemplars."""
    with tarfile.open(tar) as archive:
        names = sorted(name for name in archive.getnames() if name.lower().endswith((".jpeg", ".jpg")))
        photos = [archive.extractfile(name) for name in names[: PHOTOS * EVERY : EVERY]]
        images = [np.asarray(Image.open(BytesIO(photo.read())).convert("RGB")) for photo in photos if photo]
    pairs = []
    for k, image in enumerate(images):
        height, width = image.shape[:2]
        centre = height // 2 - SIDE // 2, width // 2 - SIDE // 2
        other = (height - SIDE) * (37 * k % 101) // 100, (width - SIDE) * (61 * k % 101) // 100
        pairs.append([image[y : y + SIDE, x : x + SIDE] for y, x in (centre, other)])
    return pairs


def measure(pairs: list[list[U8]], method: str, seeds: int) -> dict[str, Any]:
    """One row: milliseconds of CPU time a texture, the figures, their ratios to the anchor."""
    seconds, found = [], []
    for seed in range(seeds):
        for k, pair in enumerate(pairs):
            begun = time.thread_time()
            texture(pair, seed=1000 * seed + k, method=method)
            seconds.append(time.thread_time() - begun)
            found.append(quality(*texture_map(pair, seed=1000 * seed + k, method=method), pair))

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.array([getattr(one, name) for one in found], np.float64)

    levels = column("swd").mean(axis=0)
    figures = {
        "swd": levels.mean(),
        "gradient_w1": column("gradient_w1").mean(),
        **{name: np.nanmedian(column(name)) for name in ("seam_ratio", "largest_verbatim", "mean_verbatim")},
        "imbalance": column("imbalance").mean(),
        "coverage": column("coverage").mean(),
    }
    ratios = {name: round(float(value / ANCHOR[name]), 3) for name, value in figures.items()}
    required = dict(zip(ANCHOR, REQUIRED[method], strict=True))
    return {
        "cpu_ms": round(1000 * float(np.median(seconds)), 2),
        "figures": {name: round(float(value), 3) for name, value in figures.items()},
        "swd_levels": [round(float(level), 3) for level in levels],
        "gradient_tail": round(float(np.median(column("gradient_tail"))), 3),
        "ratios": ratios,
        "required": required,
        "missed": [name for name in ANCHOR if (ratios[name] > required[name]) != (name == "coverage")],
    }


def cpu_model() -> str:
    """The processor's name, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def main() -> int:
    """Measure, print, write the results file; status 1 if a required ratio is missed."""
    parser = argparse.ArgumentParser(description="Time and quality of texture synthesis.")
    parser.add_argument("tar", type=Path, help="tar of photographs, short side >= 96 px")
    parser.add_argument("--seeds", type=int, default=3, help="textures a photograph and method (default 3)")
    parser.add_argument("--out", type=Path, default=OUT, help="results file (JSON)")
    options = parser.parse_args()

    pairs = exemplar_pairs(options.tar)
    warm_up()
    rows = {}
    print(f"{'':8} {'CPU ms':>7} " + " ".join(f"{name:>16}" for name in ANCHOR))
    for method in METHODS:
        rows[method] = row = measure(pairs, method, options.seeds)
        cells = (f"{row['figures'][name]:9.3g} ({row['ratios'][name]:4.2f})" for name in ANCHOR)
        print(f"{method:8} {row['cpu_ms']:7.2f} " + " ".join(cells), flush=True)
    results = {
        "command": f"python benchmarks/textures.py {options.tar.name} --seeds {options.seeds}",
        "photographs": len(pairs),
        "tar_sha256": hashlib.sha256(options.tar.read_bytes()).hexdigest(),
        "machine": {"cpu": cpu_model(), "system": platform.machine()},
        "versions": {
            "python": platform.python_version(),
            "numba": numba.__version__,
            "numpy": np.__version__,
            "method": METHOD_VERSION,
        },
        "anchor": {"tool": "EmbarkStudios/texture-synthesis 22825ec, default, 1 thread", **ANCHOR},
        "methods": rows,
    }
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    missed = [f"{method} {name}" for method, row in rows.items() for name in row["missed"]]
    print("missed: " + ", ".join(missed) if missed else "all required ratios kept")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
