"""A step gives its device few operations and never waits for it."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from texneg.bench.common.operations import count_operations
from texneg.train.data.augmentations import MocoV2
from texneg.train.data.loader import Batch, Batches
from texneg.train.engine.metrics import Meter
from texneg.train.engine.optimiser import Optimisation, make_optimiser
from texneg.train.engine.step import mean_cosines
from texneg.train.methods import byol, memory_bank, moco, simclr, simo
from texneg.train.negatives import Negatives, Patch
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Objective

N, SIDE = 8, 32
METHODS = {
    "moco": moco.Config(queue=64),
    "byol": byol.Config(),
    "simo": simo.Config(keys=5),
    "simclr": simclr.Config(),
    "memory_bank": memory_bank.Config(keys=9),
}
POLICIES = [("moco", bn) for bn in ("none", "shuffle", "split", "sync")] + [
    ("byol", "none"),
    ("byol", "sync"),
]
OTHERS = [("simo", "split"), ("simclr", "none"), ("memory_bank", "split")]
# Forward, loss, backward and momentum of a step without negatives: a tenth more than were found.
CEILINGS = {
    ("resnet18", "moco"): 390,
    ("resnet18", "byol"): 850,
    ("resnet50", "moco"): 890,
    ("resnet50", "byol"): 1950,
}
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2"}


def make_step(arch, name, bn, device, *, patches=False, optimiser=True):
    """A step as the trainer makes it, on black images."""
    config = METHODS[name]
    network = Architecture(arch, bn=bn, bn_group=N // 2, hidden=64)
    method = config.build(network, SIDE, seed=0, steps=10, images=64)
    method = method.to(device).to(memory_format=torch.channels_last).train()
    if device == "meta":
        method.autocast = lambda views: nullcontext()  # there is none on this device
    views = torch.zeros(2, N, SIDE, SIDE, 3, dtype=torch.uint8, device=device)
    batches = Batches(
        image=None,
        n=64,
        augmentation=MocoV2(SIDE),
        batch=N,
        seed=0,
        negatives=Negatives.of(Patch()) if patches else Negatives(),
        deferred=True,
    )
    indices = torch.arange(N)
    batch = Batch(*views, None, indices.pin_memory() if device == "cuda" else indices, 3)
    objective, meter = Objective(config.loss), Meter()
    lars = "lars" if name in ("byol", "simo") else "sgd"
    trained = make_optimiser(method, Optimisation(optimizer=lars)) if optimiser else None

    def step():
        parts = method(batches.complete(batch))
        loss = objective(parts)
        loss.backward()
        if trained:
            trained.step()
            trained.zero_grad(set_to_none=True)
        method.after_step()
        meter.add({"loss": loss.detach(), **mean_cosines(parts[0])})

    return step


@pytest.mark.parametrize(("method", "bn"), POLICIES)
@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
def test_the_operations_of_a_step_stay_few(arch, method, bn):
    counts = count_operations(make_step(arch, method, bn, "meta", optimiser=False))
    assert counts.total() <= CEILINGS[arch, method], counts


def test_split_batch_norm_adds_no_operations():
    none, split = (
        count_operations(make_step("resnet18", "moco", bn, "meta")).total() for bn in ("none", "split")
    )
    assert split <= none


class NoWait(TorchDispatchMode):
    """Refuse what makes the host wait for a device; device meta, which holds no values, refuses the rest."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if any(x.device.type != "cpu" for x in tensors):
            assert name not in WAITING, func
        if name.startswith("index"):
            assert all(x.dtype != torch.bool for x in tensors), f"{func} by a mask"
        made = func(*args, **kwargs)
        devices = {x.device.type for x in [*tensors, made] if isinstance(x, torch.Tensor) and x.numel() > 1}
        if name in ("_to_copy", "copy_") and len(devices) > 1:
            assert kwargs.get("non_blocking") or args[-1] is True, f"{func} waits for a copy"
        return made


@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize(("method", "bn"), [*POLICIES, *OTHERS])
def test_nothing_in_a_step_needs_a_value_of_the_device(method, bn, patches):
    step = make_step("resnet18", method, bn, "meta", patches=patches)
    step()  # the first makes the optimiser's state
    with NoWait():
        step()


def test_a_wait_would_be_found():
    x = torch.zeros(3, device="meta")
    for wait in (lambda: torch.zeros(3).to("meta"), lambda: x.masked_select(x > 0), lambda: x[x > 0]):
        with NoWait(), pytest.raises(AssertionError):
            wait()
    with NoWait(), pytest.raises((AssertionError, RuntimeError)):
        x.sum().item()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("patches", [False, True])
@pytest.mark.parametrize(("method", "bn"), [*POLICIES, *OTHERS])
def test_a_step_never_waits_for_the_gpu(method, bn, patches):
    step = make_step("resnet18", method, bn, "cuda", patches=patches)
    for _ in range(2):  # compiles, and makes the optimiser's state
        step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
