"""`texneg bench`: speed as ratios within one run, with the machine it ran on.

Times of different runs, machines or tables cannot be compared; the ratios of one run can.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from texneg.bench.ratios import Gate, Row, table, verdicts
from texneg.cli.environment import environment
from texneg.cli.fields import Positional


@dataclass(frozen=True)
class BenchConfig:
    """Time parts of texneg beside peers and physical limits."""

    name: Positional[Literal["negatives", "textures", "all"]] = "all"
    """what to time"""
    check: bool = False
    """end with status 1 when a ratio misses its limit"""
    json: str | None = None
    """file to write the rows, the limits and the environment to"""
    quick: bool = False
    """fewer rounds, under half a minute in all; noisier"""
    photos: str | None = None
    """tar of photographs: textures are also judged on them, beside the published tool's stored figures"""


def bench(config: BenchConfig) -> int:
    """Run the benchmarks that the config names; 0, or 1 when `check` finds a limit missed."""
    rows: list[Row] = []
    gates: list[Gate] = []
    machine = environment()
    if config.name in ("negatives", "all"):
        from texneg.bench import gpu, negatives

        rows += negatives.bench_negatives(quick=config.quick)
        rows += gpu.bench_gpu_negatives(quick=config.quick)
        gates += negatives.GATES + gpu.GATES
    if config.name in ("textures", "all"):
        from texneg.bench import textures

        photos = None if config.photos is None else Path(config.photos)
        rows += textures.bench_textures(photos, quick=config.quick)
        gates += textures.GATES
        machine |= textures.described(photos)

    found = verdicts(rows, gates)
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    print(table(rows))
    if found:
        print("\nlimits:\n" + "\n".join(found))
    if config.json is not None:
        record = {"environment": machine, "rows": [asdict(row) for row in rows], "limits": found}
        Path(config.json).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    missed = [gate for gate in gates if (value := gate.value(rows)) is not None and not gate.kept(value)]
    return 1 if config.check and missed else 0
