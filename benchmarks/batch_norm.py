"""Cost of batch norm with statistics of groups: MoCo-v2 steps with it, without it, and group by group."""

from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from texneg.bench.common.operations import count_operations
from texneg.bench.common.ratios import Gate, Row, compare, one_thread, report
from texneg.bench.common.results import RatioConfig
from texneg.bench.gpu import moco_step
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.flags import change
from texneg.train.networks.batch_norm import SplitBatchNorm

OF_NONE, OPERATIONS = "speed, of none", "operations, of none"
NONE, SPLIT, LOOP = "--bn none", "--bn split", "--bn split, group by group"

SMALL = change(PretrainConfig(), arch="resnet18", queue=4096, image_size=64, batch=64, bn_group=16)
CASES = {
    "quarter-width ResNet-10, 64 px, 8 groups of 32": change(
        SMALL, stem="stride2", width=16, layers=(1, 1, 1, 1), batch=256, bn_group=32
    ),
    "ResNet-18, 64 px, 4 groups of 16": SMALL,
    "ResNet-50, 64 px, 4 groups of 8": change(SMALL, arch="resnet50", batch=32, bn_group=8),
}
GATES = tuple(
    gate
    for case in CASES
    for gate in (
        Gate(case, SPLIT, OF_NONE, "at least", 0.92),
        Gate(case, SPLIT, OPERATIONS, "at most", 1.15),
    )
)


def bench(config: RatioConfig) -> int:
    """Time and count steps on the CPU, with one thread; `quick` leaves out ResNet-50."""
    rounds = 3 if config.quick else 10
    with one_thread():
        rows = [row for case in list(CASES)[: 2 if config.quick else 3] for row in measure(case, rounds)]
    return report(config, rows, GATES)


def measure(case: str, rounds: int) -> list[Row]:
    """Time and count the steps of a case, without negatives."""
    config = CASES[case]
    N, side = config.optimisation.batch, config.views.image_size
    draw = torch.Generator().manual_seed(0)
    query, key = torch.randint(0, 256, (2, N, side, side, 3), generator=draw).byte()
    batch = Batch(query, key, None, torch.arange(N), 0)
    split = moco_step(change(config, bn="split"), batch)
    steps: dict[str, Callable[[], object]] = {
        NONE: moco_step(change(config, bn="none"), batch),
        SPLIT: split,
        LOOP: patch.object(SplitBatchNorm, "normalise", normalise_each)(split),
    }
    timings = compare(steps, rounds=rounds)
    counts = {name: count_operations(step).total() for name, step in steps.items()}
    return [
        Row(
            case,
            name,
            timing.seconds * 1e6 / N,
            {OF_NONE: timings[NONE].over(timing), OPERATIONS: counts[name] / counts[NONE]},
        )
        for name, timing in timings.items()
    ]


def normalise_each(norm: SplitBatchNorm, x: Tensor) -> Tensor:
    """Normalise group by group, as torch can; without running statistics."""
    parts = x.split(norm.group)
    return torch.cat(
        [F.batch_norm(part, None, None, norm.weight, norm.bias, True, 0.0, norm.eps) for part in parts]
    )
