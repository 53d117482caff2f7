"""Speed of patch negatives: each executor beside the official algorithm and a copy of the same bytes.

One hot image or batch, one thread, CPU time. The executors' bytes are compared before anything is timed. The
official algorithm draws from its own generators, so it is compared in speed alone, and always on the float32
(3, S, S) view that it requires.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

import numpy as np
import torch

from texneg import patch_numba, patch_numpy, patch_torch
from texneg.errors import RunFailed
from texneg.patch import patch_negatives
from texneg.patch_layout import Bytes, array_bytes, tensor_bytes
from texneg.patch_plan import Rule, Source, base_key, default_size
from texneg.philox import generator
from texneg.train.bench.official_patch import official_patches
from texneg.train.bench.ratios import Gate, Row
from texneg.train.bench.timing import Timing, compare

OF_COPY, X_OFFICIAL, OF_SHUFFLE = "of copy speed", "x official", "of the shuffle"
EPOCHS = 64  # plans that take turns, so that no branch predictor learns one

ONE, BATCH, LARGE = "224 px uint8 HWC, 1 image", "224 px uint8 HWC, batch 64", "224 px uint8 HWC, batch 256"
FLOAT = "224 px float32 CHW, 1 image"
SMALL = {side: f"{side} px uint8 HWC, 1 image" for side in (32, 64, 96)}

GATES = (
    Gate(ONE, "numba", OF_COPY, "at least", 0.35),
    Gate(ONE, "numba", X_OFFICIAL, "at least", 80),
    Gate(BATCH, "numba", OF_COPY, "at least", 0.5),
    Gate(LARGE, "numba", OF_COPY, "at least", 0.4),
    Gate(FLOAT, "numba", X_OFFICIAL, "at least", 25),
    *(Gate(case, "numba", X_OFFICIAL, "at least", 150) for case in SMALL.values()),
    Gate(BATCH, "plan alone", OF_SHUFFLE, "at most", 0.1),
)


def bench_negatives(*, quick: bool) -> list[Row]:
    """All cases; `quick` takes fewer rounds and leaves out the largest batch."""
    rounds, slot_s = (5, 0.01) if quick else (20, 0.02)
    with one_thread():
        rows = _interleaved(ONE, 224, 1, rounds, slot_s, every=True)
        rows += _planar(FLOAT, 224, rounds, slot_s)
        rows += _interleaved(BATCH, 224, 64, rounds, slot_s)
        if not quick:
            rows += _interleaved(LARGE, 224, 256, rounds, slot_s)
        for side, case in SMALL.items():
            rows += _interleaved(case, side, 1, rounds, slot_s, official=True)
    return rows


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one CPU thread, so that CPU time of this thread is all there is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _interleaved(
    case: str,
    side: int,
    batch: int,
    rounds: int,
    slot_s: float,
    *,
    every: bool = False,
    official: bool = False,
) -> list[Row]:
    """uint8 (N, S, S, 3): the compiled executor, and with `every` all of them."""
    images = _photos(batch, side)
    source, index = array_bytes(images), np.arange(batch, dtype=np.uint64)
    target, reference = np.empty((batch, 1, *source.shape[1:]), np.uint8), source.copy()
    result = np.empty((batch, 1, side, side, 3), np.uint8)
    planar = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    rows = torch.arange(batch)
    rules = [Rule(base_key(0, epoch), *default_size(side, side), Source.CROPS) for epoch in range(EPOCHS)]
    epochs, take = cycle(range(EPOCHS)), cycle(rules)
    no_planes = source[:, :0], target[:, :, :0]  # the kernel then plans and copies nothing

    _check_equal(case, source, rules[0], planar)
    variants: dict[str, Callable[[], object]] = {
        "copy of the bytes": lambda: np.copyto(reference, source),
        "numba": lambda: patch_numba.shuffle(source, target, index, next(take)),
        "plan alone": lambda: patch_numba.shuffle(*no_planes, index, next(take)),
    }
    if every:
        variants |= {
            "patch_negatives(out=)": lambda: patch_negatives(images, epoch=next(epochs), out=result),
            "numpy": lambda: patch_numpy.shuffle(source, target, index, next(take)),
            "torch, on the CPU": lambda: patch_torch.shuffle(planar, 1, rows, next(take)),
        }
    if every or official:
        variants["official, float32 CHW"] = _official(planar[0].float(), rules[0])
    return _rows(case, compare(variants, rounds=rounds, slot_s=slot_s), batch)


def _planar(case: str, side: int, rounds: int, slot_s: float) -> list[Row]:
    """One float32 (3, S, S) view, like for like with the official code."""
    views = torch.from_numpy(_photos(1, side)).permute(0, 3, 1, 2).float().div(255).contiguous()
    source, index = tensor_bytes(views), np.zeros(1, np.uint64)
    target, reference = np.empty((1, 1, *source.shape[1:]), np.uint8), source.copy()
    rules = [Rule(base_key(0, epoch), *default_size(side, side), Source.CROPS) for epoch in range(EPOCHS)]
    take = cycle(rules)
    _check_equal(case, source, rules[0], views)
    variants: dict[str, Callable[[], object]] = {
        "copy of the bytes": lambda: np.copyto(reference, source),
        "numba": lambda: patch_numba.shuffle(source, target, index, next(take)),
        "torch, on the CPU": lambda: patch_torch.shuffle(views, 1, torch.zeros(1).long(), next(take)),
        "official, float32 CHW": _official(views[0], rules[0]),
    }
    return _rows(case, compare(variants, rounds=rounds, slot_s=slot_s), 1)


def _official(view: torch.Tensor, rule: Rule) -> Callable[[], object]:
    sides, places = random.Random(0), np.random.RandomState(0)
    return lambda: official_patches(view, (rule.lo, rule.hi), sides, places)


def _rows(case: str, timings: dict[str, Timing], batch: int) -> list[Row]:
    copy, shuffle = timings["copy of the bytes"], timings["numba"]
    official = timings.get("official, float32 CHW")
    rows = []
    for name, timing in timings.items():
        ratios = {OF_COPY: copy.over(timing)} if name != "plan alone" else {OF_SHUFFLE: timing.over(shuffle)}
        if official is not None and name != "plan alone":
            ratios[X_OFFICIAL] = official.over(timing)
        rows.append(Row(case, name, timing.seconds * 1e6 / batch, ratios))
    return rows


def _check_equal(case: str, source: Bytes, rule: Rule, planar: torch.Tensor) -> None:
    """Numba, NumPy and torch must give the same bytes for this case."""
    some, index = source[:4], np.arange(min(4, len(source)), dtype=np.uint64)
    numba, numpy = (np.empty((len(some), 1, *some.shape[1:]), np.uint8) for _ in range(2))
    patch_numba.shuffle(some, numba, index, rule)
    patch_numpy.shuffle(some, numpy, index, rule)
    gathered = patch_torch.shuffle(planar[:4], 1, torch.arange(len(some)), rule)
    if source.shape[1] == 1:  # interleaved
        torch_bytes = array_bytes(gathered.permute(0, 1, 3, 4, 2).contiguous().numpy())
    else:
        torch_bytes = tensor_bytes(gathered)
    if not (np.array_equal(numba, numpy) and np.array_equal(numba, torch_bytes)):
        raise RunFailed(f"{case}: the executors disagree, so their speed means nothing; run the tests")


def _photos(batch: int, side: int) -> Bytes:
    """Random pixels: a copy does not care."""
    return generator(0, side).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
