"""Checks of every path that a CUDA device takes, each against the CPU; on the CPU they check themselves.

A check returns what it found in a few words, or raises.
"""

import copy
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texneg.bench.gpu import make_training
from texneg.datasets.storage.json_files import read_json_lines
from texneg.patches.network_input import patch_inputs
from texneg.patches.patches import patch_negatives, patch_permutation
from texneg.textures.live.negatives import texture_negatives
from texneg.train.config import PretrainConfig
from texneg.train.data.augmentations import MocoV2
from texneg.train.data.loader import Batch, Batches
from texneg.train.engine.graph import WARM_UP, RecordedStep, records
from texneg.train.engine.optimiser import make_optimiser
from texneg.train.engine.step import mean_cosines
from texneg.train.flags import change
from texneg.train.negatives import Negatives, Patch, TextureLive
from texneg.train.networks.normalise import Normalise
from texneg.train.networks.split_norm import split_norm
from texneg.train.pretrain import run_pretraining

N, SIDE = 16, 32
TINY = change(
    PretrainConfig(), arch="resnet18", stem="stride2", width=8, layers=(1, 1, 1, 1), dim=16, hidden=32,
    image_size=SIDE, batch=N, bn_group=8, queue=32, resident=48,
)  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "moco, split": {},
    "moco, shuffled, symmetric": {"symmetric": True},
    "moco, no policy": {"bn": "none"},
    "byol": {"method": "byol", "bn": "none", "optimizer": "lars"},
    "simo": {"method": "simo", "keys": 7},
    "simclr": {"method": "simclr", "bn": "none"},
    "memory bank": {"method": "memory_bank", "keys": 9},
    "triplet": {"method": "triplet", "bn": "none"},
}
KINDS = (Patch(), TextureLive())
Check = Callable[[torch.device], str]


def list_checks(data: str, folder: Path) -> dict[str, Check]:
    """List all checks by name.

    Args:
        data: training images, for the check of resumption.
        folder: for its runs.
    """
    checks: dict[str, Check] = {
        "patches": check_patches,
        "network input": check_inputs,
        "live textures": check_textures,
        "batch norm of groups": check_split_norm,
        "resume": lambda device: check_resume(device, data, folder),
    }
    for name, flags in METHODS.items():
        config = change(TINY, **flags)
        checks[f"no wait, {name}"] = lambda device, config=config: check_waits(device, config)  # type: ignore[misc]
        checks[f"graph, {name}"] = lambda device, config=config: check_graph(device, config)  # type: ignore[misc]
    return checks


def require_equal(found: Tensor, expected: Tensor, what: str) -> None:
    """Raise where a result of the device is not, to the bit, that of the CPU."""
    if not torch.equal(found.cpu(), expected):
        wrong = (found.cpu() != expected).sum().item()
        raise AssertionError(f"{what}: {wrong} of {expected.numel()} values differ from the CPU")


def draw_pixels(*shape: int, seed: int = 0) -> Tensor:
    """Draw bytes on the CPU."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)


def check_patches(device: torch.device) -> str:
    """Compare patch negatives of every rule, as bytes and as floats."""
    rules: list[dict[str, Any]] = [
        {}, {"paper": True}, {"overlap": False}, {"flip": True, "rotate": True, "count": 2},
        {"size": "small", "mirror": 2, "blend": 0.25, "rotate": True}, {"blend": 1.0},
    ]  # fmt: skip
    compared = 0
    for side in (32, 50, 224):
        for dtype in (torch.uint8, torch.bfloat16):
            images = draw_pixels(6, 3, side, side).to(dtype)
            for rule in rules:
                made = patch_negatives(images.to(device), epoch=3, **rule)
                require_equal(made, patch_negatives(images, epoch=3, **rule), f"{side} px {rule}")
                compared += made.numel()
            require_equal(
                patch_permutation(images.to(device), epoch=3),
                patch_permutation(images, epoch=3),
                "permutation",
            )
    return f"{compared} values equal"


def check_inputs(device: torch.device) -> str:
    """Compare normalised views, and negatives as network input."""
    pixels = draw_pixels(8, 33, 33, 3)
    for dtype in (torch.float32, torch.bfloat16):
        found = patch_inputs(pixels.to(device).permute(0, 3, 1, 2), dtype=dtype)
        require_equal(found, patch_inputs(pixels.permute(0, 3, 1, 2), dtype=dtype), f"patch_inputs {dtype}")
        half = dtype == torch.bfloat16
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            normalised = Normalise().to(device)(pixels.to(device))
        require_equal(normalised, Normalise()(pixels).to(dtype), f"views {dtype}")
    return "equal to the bit"


def check_textures(device: torch.device) -> str:
    """Compare live textures."""
    for side in (32, 64):
        images = draw_pixels(4, 3, side, side, seed=side)
        require_equal(texture_negatives(images.to(device)), texture_negatives(images), f"{side} px")
    return "equal to the bit"


def check_split_norm(device: torch.device) -> str:
    """Compare forward, gradients and running statistics in float32."""
    worst = 0.0
    for shape, groups in (((32, 64, 9, 9), 4), ((16, 513, 3, 3), 2), ((64, 128), 8)):
        draw = torch.Generator().manual_seed(0)
        x, dy = (torch.randn(shape, generator=draw) for _ in "xy")
        weight, bias = (torch.rand(shape[1], generator=draw) for _ in "wb")
        sides = []
        for where in (device, torch.device("cpu")):
            leaves = [t.to(where, copy=True).requires_grad_() for t in (x, weight, bias)]
            running = [torch.zeros(shape[1], device=where), torch.ones(shape[1], device=where)]
            y = split_norm(*leaves, *running, groups=groups, momentum=0.1, eps=1e-5)
            y.backward(dy.to(where))
            grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
            sides.append([t.detach().cpu() for t in (y, *grads, *running)])
        for a, b in zip(*sides, strict=True):
            worst = max(worst, ((a - b).abs().max() / b.abs().max()).item())
    if worst > 2e-5:
        raise AssertionError(f"relative error {worst:.1e} against the CPU, above 2e-5")
    return f"relative error {worst:.1e}"


@contextmanager
def no_wait(device: torch.device):  # type: ignore[no-untyped-def]
    """Make CUDA raise where the host waits for it."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def check_waits(device: torch.device, config: PretrainConfig) -> str:
    """Train steps with each kind of negative that the device makes, none of which may wait for it."""
    for kind in KINDS:
        config = replace(config, negatives=Negatives.of(kind))
        batch = draw_batch(device)
        method, optimiser = make_training(config, batch)
        batches = Batches(
            image=lambda i: draw_pixels(SIDE, SIDE, 3).numpy(), n=4 * N, augmentation=MocoV2(SIDE),
            batch=N, seed=0, negatives=config.negatives, deferred=True,
        )  # fmt: skip

        def step(number: int) -> None:
            parts = method(batches.complete(batch._replace(step=number)))  # noqa: B023
            config.objective(parts).backward()  # noqa: B023
            optimiser.step()  # noqa: B023
            optimiser.zero_grad(set_to_none=True)  # noqa: B023
            method.after_step()  # noqa: B023

        step(0)
        step(1)
        with no_wait(device):
            step(2)
    return "no wait in a step"


def draw_batch(device: torch.device, seed: int = 0) -> Batch:
    """Draw views and a negative on the device; the places in the data set stay on the CPU."""
    views = draw_pixels(3, N, SIDE, SIDE, 3, seed=seed).to(device)
    indices = torch.arange(N).pin_memory() if device.type == "cuda" else torch.arange(N)
    return Batch(views[0], views[1], views[2].unsqueeze(1), indices, seed)


def check_graph(device: torch.device, config: PretrainConfig) -> str:
    """Compare recorded steps with steps computed one by one, in float32."""
    config = change(config, amp=False)
    method, optimiser = make_training(config, draw_batch(device))
    if device.type == "cuda" and not records("auto", method, SIDE, device):
        return "steps of this method are not recorded"
    other = copy.deepcopy(method)
    theirs = make_optimiser(other, config.optimisation)
    record = None if device.type == "cuda" else (lambda function: function)
    recorded = RecordedStep(method, config.objective, mean_cosines, record)
    worst = 0.0
    for seed in range(WARM_UP + 3):
        batch = draw_batch(device, seed)
        loss = recorded(batch)[1]["loss"].item()
        value = config.objective(other(batch))
        other.zero_grad()
        value.backward()
        for one, moved in ((method, optimiser), (other, theirs)):
            moved.step()
            one.after_step()
        worst = max(worst, abs(loss - value.item()) / abs(value.item()))
    if worst > 1e-3:
        raise AssertionError(f"losses differ by {worst:.1e}, above 1e-3")
    return f"losses differ by {worst:.1e} at most"


def check_resume(device: torch.device, data: str, folder: Path) -> str:
    """Compare a run with one that stopped at a step and went on: losses of the steps after it."""
    base = change(TINY, data=data, device=str(device), epochs=8, log_every=1, graphs="off")
    ends = []
    for name, stops in (("whole", (8,)), ("stopped", (5, 3))):
        for stop in stops:
            run_pretraining(change(base, out=str(folder / name), stop_after=stop), log=lambda _: None)
        ends.append(read_json_lines(folder / name / "metrics.jsonl")[7]["loss"])
    error = abs(ends[0] - ends[1]) / abs(ends[0])
    if error > (1e-3 if device.type == "cuda" else 0):
        raise AssertionError(f"the loss after going on is {ends[1]}, not {ends[0]}")
    return f"loss after going on differs by {error:.1e}"
