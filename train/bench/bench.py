"""`texneg bench`: speed as ratios within one run, with the machine it ran on.

Times of different runs, machines or tables cannot be compared; the ratios of one run can.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from texneg.options import Positional
from texneg.train.bench.ratios import Row, table, verdicts
from texneg.train.environment import environment


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


def bench(config: BenchConfig) -> int:
    """Run the benchmarks that the config names; 0, or 1 when `check` finds a limit missed."""
    from texneg.train.bench.negatives import GATES, bench_negatives

    rows: list[Row] = []
    if config.name in ("negatives", "all"):
        rows += bench_negatives(quick=config.quick)
    if config.name in ("textures", "all"):
        from texneg.train.bench.textures import bench_textures

        rows += bench_textures(quick=config.quick)

    machine = environment()
    found = verdicts(rows, GATES)
    print("\n".join(f"{name}: {value}" for name, value in machine.items()))
    print(table(rows))
    if found:
        print("\nlimits, ratios of this run:\n" + "\n".join(found))
    if config.json is not None:
        record = {"environment": machine, "rows": [asdict(row) for row in rows], "limits": found}
        Path(config.json).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    missed = [gate for gate in GATES if (value := gate.value(rows)) is not None and not gate.kept(value)]
    return 1 if config.check and missed else 0
