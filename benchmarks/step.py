"""Speed of the trainer's step beside the official MoCo-v2 step and lightly's, and the shares of its parts.

All train the same network, with the same optimiser and precision, on the same images, in turns. The trainer
normalises bytes inside its step; the others are given normalised float images, as their loaders make them.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec

import torch

from texneg.bench.common.phases import NEGATIVES, Phases, train_step, watch
from texneg.bench.common.ratios import Gate, Row, Timing, compare, one_thread, report
from texneg.bench.common.results import RatioConfig
from texneg.bench.common.rival_steps import lightly_step, official_step
from texneg.bench.gpu import device_clock, make_training, moco_step, recorded_step
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.flags import change
from texneg.train.networks.normalise import Normalise

OF_NONE, OF_OFFICIAL, OF_LIGHTLY = "speed, of no negative", "speed, of official", "speed, of lightly"
OF_OFFICIAL_HALF, OF_LIGHTLY_HALF = "speed, of official in bfloat16", "speed, of lightly in bfloat16"
OF_FLOAT, SHARE = "speed, of float32", "share"
OFFICIAL, LIGHTLY = "official structure", "lightly"
OFFICIAL_HALF, LIGHTLY_HALF = "official structure, bfloat16", "lightly, bfloat16"
NONE, SPLIT, HALF = "--bn none", "--bn split", "--bn split --amp-cpu"
GRAPH = "--bn split --graphs on"
ONE, PARTS = ", one negative", ", one negative, parts of --bn split"

BASE = change(PretrainConfig(), arch="resnet18", queue=4096, image_size=64, batch=64, bn_group=16)
SMALL, RESNET18 = "quarter-width ResNet-10, 64 px, batch 64", "ResNet-18, 64 px, batch 64"
CASES = {
    SMALL: change(BASE, stem="stride2", width=16, layers=(1, 1, 1, 1), dim=64, hidden=256, queue=2048),
    RESNET18: BASE,
}
GPU_CASES = {
    "ResNet-18, 32 px, batch 256": change(BASE, stem="stride1", image_size=32, batch=256, bn_group=32),
    "ResNet-50, 224 px, batch 256": change(
        BASE, arch="resnet50", image_size=224, batch=256, bn_group=32, queue=65536
    ),
}
GATES = (
    Gate(SMALL, SPLIT, OF_OFFICIAL, "at least", 0.9),
    Gate(SMALL, HALF, OF_LIGHTLY, "at least", 1.3),
    Gate(SMALL, HALF, OF_FLOAT, "at least", 1.1),
    Gate(SMALL + ONE, SPLIT, OF_NONE, "at least", 0.75),
    Gate(RESNET18, SPLIT, OF_OFFICIAL, "at least", 1.2),
    Gate(RESNET18, SPLIT, OF_LIGHTLY, "at least", 1.2),
    Gate(RESNET18, HALF, OF_LIGHTLY, "at least", 1.3),
    Gate(RESNET18, HALF, OF_FLOAT, "at least", 1.1),
    Gate(RESNET18 + ONE, SPLIT, OF_NONE, "at least", 0.75),
)
"""Of a CPU; no GPU has been measured."""


def bench(config: RatioConfig) -> int:
    """Time steps on the GPU, or where there is none on one core; `quick` takes fewer rounds."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cases = CASES | (GPU_CASES if device.type == "cuda" else {})
    with one_thread():
        rows = [
            row
            for name, case in cases.items()
            for row in measure(name, case, device, rounds=3 if config.quick else 12)
        ]
    return report(config, rows, GATES if device.type == "cpu" else ())


def measure(name: str, config: PretrainConfig, device: torch.device, *, rounds: int) -> list[Row]:
    """Time the steps of a case with and without a negative, and the parts of the trainer's own.

    Args:
        name: of the case.
        config: its run.
        device: to train on.
        rounds: slots of each variant.
    """
    N, side = config.optimisation.batch, config.views.image_size
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (3, N, side, side, 3), generator=draw).byte().to(device)
    images = [Normalise().to(device)(x).contiguous() for x in pixels]
    plain = Batch(pixels[0], pixels[1], None, torch.arange(N), 0)
    none, split = change(config, bn="none"), change(config, bn="split")
    own, officials, lightlys = {NONE: none, SPLIT: split}, {OFFICIAL: none}, {LIGHTLY: none}
    if multiplies_bfloat16(device):
        own[HALF] = change(split, amp_cpu=True)
        officials[OFFICIAL_HALF] = lightlys[LIGHTLY_HALF] = change(none, amp_cpu=True)
    if not find_spec("lightly"):
        print('lightly is not installed (pip install "texneg[bench]"): its rows are left out')
        lightlys = {}
    steps: dict[tuple[str, str], Callable[[], object]] = {
        (name, variant): lightly_step(changed, images[:2]) for variant, changed in lightlys.items()
    }
    for case, floats, batch in (
        (name, images[:2], plain),
        (name + ONE, images, plain._replace(negatives=pixels[2].unsqueeze(1))),
    ):
        steps |= {(case, variant): official_step(changed, floats) for variant, changed in officials.items()}
        steps |= {(case, variant): moco_step(changed, batch) for variant, changed in own.items()}
        if device.type == "cuda":
            steps[case, GRAPH] = recorded_step(split, batch)
    timings = compare(steps, rounds=rounds, clock=device_clock(device))
    rows = [
        Row(case, variant, timing.seconds * 1e6 / N, compare_with(timings, case, variant, name))
        for (case, variant), timing in sorted(timings.items(), key=lambda item: item[0][0])
    ]
    shares = measure_shares(split, plain, rounds=rounds)
    return rows + [Row(name + PARTS, part, None, {}, {SHARE: share}) for part, share in shares.items()]


def compare_with(
    timings: Mapping[tuple[str, str], Timing], case: str, variant: str, plain: str
) -> dict[str, float]:
    """Return the speed of a step over that of others of its case, and of its own without negatives.

    lightly's is without negatives.
    """
    references = {OF_OFFICIAL: (case, OFFICIAL), OF_LIGHTLY: (case, LIGHTLY)}
    if case != plain:
        references[OF_NONE] = plain, variant
    if variant == HALF:
        references[OF_FLOAT] = case, SPLIT
        references[OF_OFFICIAL_HALF] = case, OFFICIAL_HALF
        references[OF_LIGHTLY_HALF] = case, LIGHTLY_HALF
    own = timings[case, variant]
    return {ratio: timings[key].over(own) for ratio, key in references.items() if key in timings}


def multiplies_bfloat16(device: torch.device) -> bool:
    """Tell a CPU that multiplies bfloat16 itself."""
    return device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)


def measure_shares(config: PretrainConfig, batch: Batch, *, rounds: int) -> Mapping[str, float]:
    """Measure the share of each part of a step with a patch negative, which is made in the step."""
    method, optimiser = make_training(config, batch)
    phases = Phases(device_clock(batch.query.device))
    with watch(method, phases):
        for turn in range(rounds + 1):
            if turn == 1:  # the first compiles
                phases.restart()
            negatives = config.negatives.make(batch.query, seed=0, epoch=turn, index=batch.indices)
            phases.charge(NEGATIVES)
            train_step(method, config.objective, optimiser, batch._replace(negatives=negatives), phases)
    return phases.shares()
