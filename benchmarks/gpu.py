"""GPU rows of `texneg bench negatives`: patch kernels beside a copy, live textures beside a training step.

Timed by CUDA events. Patch kernels are replayed from CUDA graphs, several calls each, so that only the
device's work counts: one is shorter than its launch from Python, which a training step hides.
"""

import time
from collections.abc import Callable
from itertools import cycle, islice

import torch
from torch import Tensor
from torch.optim import Optimizer

from texneg.bench.common.peers import COPY, OF_COPY
from texneg.bench.common.ratios import Gate, Row, Timing, compare
from texneg.devices import runs_triton
from texneg.errors import RunFailed
from texneg.patches import device
from texneg.patches.network_input import MEAN, STD, patch_inputs
from texneg.patches.patches import patch_negatives
from texneg.patches.plan import Rule, Source, batch_key, default_size
from texneg.philox.arrays import generator
from texneg.textures.live.negatives import texture_negatives
from texneg.train.assemble import place
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.engine.graph import WARM_UP, RecordedStep
from texneg.train.engine.optimiser import make_optimiser
from texneg.train.engine.step import mean_cosines
from texneg.train.methods import Method

Variant = Callable[[Rule], Tensor]

OF_STEP = "of the step"
CALLS = 16  # in a graph, each with another plan
TRITON, STEP = "Triton", "MoCo-v2 step, no negatives"
TEXTURE, PATCH = "texture_live", "patch"

BYTES, HALVES = "224 px uint8 CHW, batch 256, GPU", "224 px bfloat16 CHW, batch 256, GPU"
INPUTS = "224 px uint8 to bfloat16 channels_last input, batch 256, GPU"
TRAINING = "ResNet-50 MoCo-v2, 224 px, batch 256, GPU"

GATES = (
    Gate(BYTES, TRITON, OF_COPY, "at least", 0.4),
    Gate(HALVES, TRITON, OF_COPY, "at least", 0.4),
    Gate(TRAINING, PATCH, OF_STEP, "at most", 0.005),
    Gate(TRAINING, TEXTURE, OF_STEP, "at most", 0.1),
)


def measure_gpu(*, quick: bool) -> list[Row]:
    """Time all cases; a line and no rows where there is no CUDA device. `quick` takes fewer rounds."""
    if not torch.cuda.is_available():
        print("no CUDA device: the GPU rows are left out")
        return []
    device = torch.device("cuda")
    rounds = 5 if quick else 20
    rows = patch_rows(device, batch=256, side=224, rounds=rounds)
    return rows + training_rows(PretrainConfig(), device, rounds=rounds)


def patch_rows(device: torch.device, *, batch: int, side: int, rounds: int) -> list[Row]:
    """Time the executors on the device, and the way from bytes to network input."""
    pixels = _photos(batch, side, device)
    rules = [Rule(batch_key(0, epoch), *default_size(side, side), Source.CROPS) for epoch in range(CALLS)]
    index = torch.arange(batch, device=device)
    rows = []
    for case, images in ((BYTES, pixels), (HALVES, pixels.bfloat16())):
        variants = _executors(images, index, with_triton=runs_triton(device))
        made = [variants[name](rules[0]) for name in variants if name != COPY]
        if not all(torch.equal(made[0], other) for other in made):
            raise RunFailed(f"{case}: the executors disagree, so their speed means nothing; run the tests")
        rows += _rows(case, variants, rules, batch, device, rounds)
    return rows + _input_rows(pixels, rules, device, rounds)


def _executors(images: Tensor, index: Tensor, *, with_triton: bool) -> dict[str, Variant]:
    variants: dict[str, Variant] = {
        COPY: lambda rule: images.clone(),
        "torch gather": lambda rule: _gather(images, index, rule),
    }
    if with_triton:
        from texneg.patches import cuda

        variants[TRITON] = lambda rule: cuda.shuffle(images, 1, index, rule)
    return variants


def _gather(images: Tensor, index: Tensor, rule: Rule) -> Tensor:
    return device.shuffle(images, 1, index, rule)


def _input_rows(pixels: Tensor, rules: list[Rule], device: torch.device, rounds: int) -> list[Row]:
    """Bytes to normalised bfloat16, beside a copy that reads and writes as many bytes in all."""
    batch = len(pixels)
    moved = torch.empty(pixels.numel() * 3 // 2, dtype=torch.uint8, device=device)
    mean, std = (255 * torch.tensor(v, device=device).view(3, 1, 1) for v in (MEAN, STD))
    epochs = cycle(range(CALLS))

    def eager(rule: Rule) -> Tensor:
        negatives = _gather(pixels, torch.arange(batch, device=device), rule)[:, 0]
        normalised = ((negatives - mean) / std).bfloat16()
        return normalised.contiguous(memory_format=torch.channels_last)

    variants: dict[str, Variant] = {
        COPY: lambda rule: moved.clone(),
        "torch gather, normalise, cast": eager,
        "patch_inputs": lambda rule: patch_inputs(pixels, dtype=torch.bfloat16, epoch=next(epochs)),
    }
    if not torch.equal(eager(rules[0]), variants["patch_inputs"](rules[0])[:, 0]):
        raise RunFailed(f"{INPUTS}: the ways disagree, so their speed means nothing; run the tests")
    return _rows(INPUTS, variants, rules, batch, device, rounds)


def training_rows(config: PretrainConfig, device: torch.device, *, rounds: int) -> list[Row]:
    """Time the negatives of a batch, as a share of the trainer's own step without negatives."""
    N, side = config.optimisation.batch, config.views.image_size
    views = [_photos(N, side, device).permute(0, 2, 3, 1).contiguous() for _ in "qk"]
    images = views[0].permute(0, 3, 1, 2)
    index = torch.arange(N, device=device)
    epochs = cycle(range(CALLS))
    if not torch.equal(texture_negatives(images[:2]).cpu(), texture_negatives(images[:2].cpu())):
        raise RunFailed(f"{TRAINING}: device and CPU make other textures; run the tests")
    variants: dict[str, Callable[[], object]] = {
        STEP: moco_step(config, Batch(views[0], views[1], None, torch.arange(N), 0)),
        PATCH: lambda: patch_negatives(images, epoch=next(epochs), index=index),
        TEXTURE: lambda: texture_negatives(images, epoch=next(epochs), index=index),
    }
    timings = compare(variants, rounds=rounds, slot_s=0.1, clock=device_clock(device))
    return [
        Row(TRAINING, name, timing.seconds * 1e6 / N, {OF_STEP: timing.over(timings[STEP])})
        for name, timing in timings.items()
    ]


def moco_step(config: PretrainConfig, batch: Batch) -> Callable[[], Tensor]:
    """Return a function that trains one step on a batch, with the optimiser, and returns the loss."""
    method, optimiser = make_training(config, batch)

    def step() -> Tensor:
        loss = config.objective(method(batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        method.after_step()
        return loss.detach()

    return step


def recorded_step(config: PretrainConfig, batch: Batch) -> Callable[[], Tensor]:
    """Return the same step, recorded as a CUDA graph, as the trainer's --graphs has it."""
    method, optimiser = make_training(config, batch)
    recorded = RecordedStep(method, config.objective, mean_cosines)

    def step() -> Tensor:
        loss = recorded(batch)[1]["loss"]
        optimiser.step()
        method.after_step()
        return loss

    for _ in range(WARM_UP + 1):
        step()
    return step


def make_training(config: PretrainConfig, batch: Batch) -> tuple[Method, Optimizer]:
    """Make method and optimiser on the device of a batch, as the trainer does."""
    torch.backends.cudnn.benchmark = True  # as in the trainer's loop
    method = config.method.build(
        config.network, config.views.image_size, seed=config.seed, steps=1, images=len(batch.indices)
    )
    method.centring = config.objective.centring
    method.bfloat16_on = config.optimisation.bfloat16_on
    method = place(method, batch.query.device).train()
    return method, make_optimiser(method, config.optimisation)


def device_clock(device: torch.device) -> Callable[[], float]:
    """Return a clock: seconds since now, read when the device has done all its work."""
    if device.type == "cpu":
        return time.thread_time
    start = torch.cuda.Event(enable_timing=True)
    start.record()

    def clock() -> float:
        now = torch.cuda.Event(enable_timing=True)
        now.record()
        now.synchronize()
        return start.elapsed_time(now) / 1000

    return clock


def _rows(
    case: str,
    variants: dict[str, Variant],
    rules: list[Rule],
    batch: int,
    device: torch.device,
    rounds: int,
) -> list[Row]:
    repeated = {name: _repeat(function, rules, device) for name, function in variants.items()}
    timings: dict[str, Timing] = compare(repeated, rounds=rounds, clock=device_clock(device))
    return [
        Row(case, name, timing.seconds * 1e6 / batch / CALLS, {OF_COPY: timings[COPY].over(timing)})
        for name, timing in timings.items()
    ]


def _repeat(function: Variant, rules: list[Rule], device: torch.device) -> Callable[[], object]:
    """Join CALLS calls into one: a CUDA graph, or a loop on the CPU."""

    def calls() -> None:
        for rule in islice(rules, CALLS):
            function(rule)

    if device.type == "cpu":
        return calls
    function(rules[0])  # compiles, which a capture cannot
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        calls()
    return graph.replay


def _photos(batch: int, side: int, device: torch.device) -> Tensor:
    """Random pixels (N, 3, S, S); their values change the time of neither a copy nor a step."""
    pixels = generator(0, side).integers(0, 256, (batch, 3, side, side), dtype="uint8")
    return torch.from_numpy(pixels).to(device)
