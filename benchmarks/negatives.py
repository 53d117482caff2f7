"""Speed of patch negatives: each executor beside rivals and a copy of the same bytes.

One hot image or batch, one thread, CPU time. The executors' bytes are compared before anything is timed. The
rivals draw from their own generators, so they are compared in speed alone: the official algorithm always on
the float32 (3, S, S) view that it requires, one image a call.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from texneg.bench import gpu
from texneg.bench.common.peers import COPY, OF_COPY, official_patches, sliced_patches
from texneg.bench.common.ratios import Gate, Row, Timing, compare, one_thread, report
from texneg.bench.common.results import RatioConfig
from texneg.errors import RunFailed
from texneg.layout import Bytes, array_bytes, tensor_bytes
from texneg.patches import cpu, device, reference, seams
from texneg.patches.patches import patch_negatives
from texneg.patches.plan import Rule, Source, batch_key, default_size, small_size
from texneg.philox.arrays import generator

X_OFFICIAL, OF_SHUFFLE = "x official", "of the shuffle"
NUMBA, PLAN = "numba", "plan alone"
MIRRORED, BLENDED = "numba, mirror 2", "numba, mirror 2, blend 1/8"
SEAMS: dict[str, dict[str, Any]] = {MIRRORED: {"mirror": 2}, BLENDED: {"mirror": 2, "blend": 32}}
OFFICIAL, SLICES = "official, float32 CHW", "NumPy slices"
EPOCHS = 64  # plans that take turns, so that no branch predictor learns one


@dataclass(frozen=True)
class Case:
    """Images of one kind, in one call."""

    side: int
    batch: int
    dtype: Literal["uint8", "float32"] = "uint8"
    layout: Literal["HWC", "CHW"] = "HWC"

    @property
    def name(self) -> str:
        """Heading in the table."""
        number = "1 image" if self.batch == 1 else f"batch {self.batch}"
        return f"{self.side} px {self.dtype} {self.layout}, {number}"


ONE, BATCH, LARGE = Case(224, 1), Case(224, 64), Case(224, 256)
FLOAT = Case(224, 1, "float32", "CHW")
SMALL = [Case(side, 1) for side in (32, 64, 96)]
PLANAR = [Case(224, 1, "uint8", "CHW"), Case(224, 64, "uint8", "CHW"), Case(224, 64, "float32", "CHW")]

GATES = (
    Gate(ONE.name, NUMBA, OF_COPY, "at least", 0.35),
    Gate(ONE.name, NUMBA, X_OFFICIAL, "at least", 80),
    Gate(BATCH.name, NUMBA, OF_COPY, "at least", 0.5),
    Gate(LARGE.name, NUMBA, OF_COPY, "at least", 0.4),
    Gate(FLOAT.name, NUMBA, X_OFFICIAL, "at least", 25),
    *(Gate(case.name, NUMBA, X_OFFICIAL, "at least", 150) for case in SMALL),
    Gate(BATCH.name, PLAN, OF_SHUFFLE, "at most", 0.1),
    Gate(ONE.name, MIRRORED, OF_SHUFFLE, "at most", 3),
    Gate(ONE.name, BLENDED, OF_SHUFFLE, "at most", 6),
)


def bench(config: RatioConfig) -> int:
    """Time patch negatives on the CPU, and all negatives on a GPU where there is one."""
    rows = measure_negatives(quick=config.quick) + gpu.measure_gpu(quick=config.quick)
    return report(config, rows, (*GATES, *gpu.GATES))


def measure_negatives(*, quick: bool) -> list[Row]:
    """Time all cases; `quick` takes fewer rounds and leaves out the largest batch."""
    cases = [ONE, BATCH, *([] if quick else [LARGE]), *PLANAR, FLOAT, *SMALL]
    rounds, slot_s = (5, 0.01) if quick else (20, 0.02)
    with one_thread():
        return [row for case in cases for row in _time_case(case, rounds, slot_s)]


def _time_case(case: Case, rounds: int, slot_s: float) -> list[Row]:
    planar = _photos(case)
    images: Any = planar if case.layout == "CHW" else planar.permute(0, 2, 3, 1).contiguous().numpy()
    result: Any = (
        torch.empty_like(planar)[:, None] if case.layout == "CHW" else np.empty_like(images)[:, None]
    )
    as_bytes: Callable[[Any], Any] = tensor_bytes if case.layout == "CHW" else array_bytes
    source, target, index = as_bytes(images), as_bytes(result), np.arange(case.batch, dtype=np.uint64)
    copied, no_planes = source.copy(), (source[:, :0], target[:, :, :0])
    rules = [Rule(batch_key(0, e), *default_size(case.side, case.side), Source.CROPS) for e in range(EPOCHS)]
    epochs, take = cycle(range(EPOCHS)), cycle(rules)
    size, sides = (rules[0].lo, rules[0].hi), random.Random(0)
    view, places, draws = planar[0].float(), np.random.RandomState(0), generator(0)

    def by_torch() -> Tensor:
        return device.shuffle(planar, 1, torch.arange(case.batch), next(take))

    variants: dict[str, Callable[[], object]] = {
        COPY: lambda: np.copyto(copied, source),
        NUMBA: lambda: cpu.shuffle(source, target, index, next(take)),
        "patch_negatives(out=)": lambda: patch_negatives(images, epoch=next(epochs), out=result),
        OFFICIAL: lambda: official_patches(view, size, sides, places),
    }
    if case.batch > 1:
        variants[PLAN] = lambda: cpu.shuffle(*no_planes, index, next(take))
    elif case.layout == "HWC":
        variants[SLICES] = lambda: sliced_patches(images[0], size, draws)
    if case in (ONE, FLOAT):
        variants["NumPy reference"] = lambda: reference.shuffle(source, target, index, next(take))
        variants["torch gather, on the CPU"] = by_torch
    if case == ONE:
        variants |= {name: _make_seamless(source, result, options) for name, options in SEAMS.items()}
    _check_equal(case, planar, rules[0])
    return _rows(case, compare(variants, rounds=rounds, slot_s=slot_s))


def _make_seamless(source: Bytes, result: Any, options: dict[str, Any]) -> Callable[[], object]:
    """Make a variant with squares of the small range, mirrored and perhaps blended."""
    lo, hi = small_size(*result.shape[2:4])
    rules = [Rule(batch_key(0, e), lo, hi, Source.CROPS, **options) for e in range(EPOCHS)]
    target, index, take = array_bytes(result), np.arange(len(result), dtype=np.uint64), cycle(rules)

    def run() -> None:
        rule = next(take)
        seams.shuffle(source, target, index, rule)
        if rule.blend:
            seams.blend(result[:, :, None], index, rule)

    run()
    expected = torch.from_numpy(source[:, 0]).permute(0, 3, 1, 2)
    expected = device.shuffle(expected, 1, torch.arange(len(result)), rules[0])
    if not np.array_equal(result, expected.permute(0, 1, 3, 4, 2).numpy()):
        raise RunFailed(f"{options}: the executors disagree, so their speed means nothing; run the tests")
    return run


def _rows(case: Case, timings: dict[str, Timing]) -> list[Row]:
    rows = []
    for name, timing in timings.items():
        images = 1 if name in (OFFICIAL, SLICES) else case.batch
        if name == PLAN or name in SEAMS:
            ratios = {OF_SHUFFLE: timing.over(timings[NUMBA])}
        else:
            ratios = {
                OF_COPY: timings[COPY].over(timing) * images / case.batch,
                X_OFFICIAL: timings[OFFICIAL].over(timing) * images,
            }
        rows.append(Row(case.name, name, timing.seconds * 1e6 / images, ratios))
    return rows


def _check_equal(case: Case, planar: Tensor, rule: Rule) -> None:
    """Refuse to time executors (Numba, NumPy, torch) that give different bytes for this case."""
    some = planar[:4]
    gathered = device.shuffle(some, 1, torch.arange(len(some)), rule)
    if case.layout == "CHW":
        source, expected = tensor_bytes(some), tensor_bytes(gathered)
    else:
        source = array_bytes(some.permute(0, 2, 3, 1).contiguous().numpy())
        expected = array_bytes(gathered.permute(0, 1, 3, 4, 2).contiguous().numpy())
    for executor in (cpu, reference):
        made = np.empty((len(some), 1, *source.shape[1:]), np.uint8)
        executor.shuffle(source, made, np.arange(len(some), dtype=np.uint64), rule)
        if not np.array_equal(made, expected):
            raise RunFailed(
                f"{case.name}: the executors disagree, so their speed means nothing; run the tests"
            )


def _photos(case: Case) -> Tensor:
    """Random pixels (N, 3, S, S); their values do not change the time of a copy."""
    shape = (case.batch, 3, case.side, case.side)
    pixels = torch.from_numpy(generator(0, case.side).integers(0, 256, shape, dtype=np.uint8))
    return pixels if case.dtype == "uint8" else pixels.float() / 255
