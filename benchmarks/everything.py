"""Speed and quality of every kind of negative on this machine, its GPU included, in one call.

    python benchmarks/everything.py [--photos imagenet-photos-000000.tar] [--quick]

Runs `texneg bench all`, which checks that the executors give the same bytes before it times them, and writes
the rows, the limits and the environment to results/negatives-MACHINE.json, MACHINE being the GPU or else the
processor. Needs torch, torchvision, timm, numba and opencv, and neither tyro nor dask; where there is no
network, `pip install --no-deps --no-build-isolation -e .` installs texneg itself. A GPU run takes minutes,
most of them the CPU's; the first also compiles.
"""

import argparse
import re
from pathlib import Path

from texneg.bench.bench import BenchConfig, bench
from texneg.cli.environment import environment

RESULTS = Path(__file__).parent / "results"


def results_file(machine: dict[str, str]) -> Path:
    """The results file of a machine: `negatives-nvidia-h200.json`."""
    name = machine["cpu"] if machine["gpu"] == "none" else machine["gpu"]
    plain = re.sub(r"\((R|TM)\)|@.*|CPU|Processor", "", name)
    return RESULTS / f"negatives-{'-'.join(re.findall('[a-z0-9]+', plain.lower()))}.json"


def main() -> int:
    """Run everything; status 1 with --check where a limit is missed."""
    parser = argparse.ArgumentParser(description="Speed and quality of every kind of negative.")
    parser.add_argument("--photos", help="tar of photographs, short side >= 96 px, for the textures' quality")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, noisier")
    parser.add_argument("--check", action="store_true", help="end with status 1 when a limit is missed")
    parser.add_argument("--out", type=Path, help="results file (JSON)")
    options = parser.parse_args()

    target = options.out or results_file(environment())
    target.parent.mkdir(parents=True, exist_ok=True)
    config = BenchConfig("all", options.check, str(target), options.quick, options.photos)
    status = bench(config)
    print(f"\n{target}")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
