"""Recorded steps: on the CPU, operations are recorded and replayed as a CUDA graph would."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from texneg.errors import InputError
from texneg.train.data.loader import Batch
from texneg.train.engine.graph import WARM_UP, RecordedStep, compile_networks, records
from texneg.train.engine.optimiser import Optimisation, make_optimiser
from texneg.train.engine.step import mean_cosines
from texneg.train.methods import byol, memory_bank, moco, simclr, simo, triplet
from texneg.train.networks.backbone import Architecture, Network
from texneg.train.networks.normalise import Normalise, normalise
from texneg.train.objectives import Objective, Selection, TruncatedTriplet

N, SIDE, IMAGES = 8, 16, 24
NETWORK = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8, bn="none", bn_group=4)
SPLIT = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8, bn="split", bn_group=4)
CASES = {
    "moco": (moco.Config(queue=18), SPLIT),
    "moco, symmetric": (moco.Config(queue=18, symmetric=True), SPLIT),
    "byol": (byol.Config(momentum=0.9), NETWORK),
    "simo": (simo.Config(keys=5), SPLIT),
    "simclr": (simclr.Config(), NETWORK),
    "triplet": (triplet.Config(), NETWORK),
    "memory bank": (memory_bank.Config(keys=9), SPLIT),
}


class Recording(TorchDispatchMode):
    """Every operation with its tensors; `replay` computes them anew, from and into the same memory."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        assert func.overloadpacket.__name__ not in ("_local_scalar_dense", "nonzero"), f"{func} waits"
        if not func.is_view and func.namespace != "profiler":
            self.calls.append((func, args, kwargs or {}, made))
        return made

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, made in self.calls:
            given = {id(x) for x in tree_leaves((args, kwargs))}
            for old, new in zip(tree_leaves(made), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and id(old) not in given:
                    old.copy_(new)


def record(state):
    """A function that records like a CUDA graph: nothing that was recorded has an effect at once."""

    def call(function):
        before = [x.clone() for x in state]
        recording = Recording()
        with recording:
            function()
        with torch.no_grad():
            for x, old in zip(state, before, strict=True):
                x.copy_(old)
        return recording.replay

    return call


def draw_batch(step):
    draw = torch.Generator().manual_seed(step)
    views = torch.randint(0, 256, (3, N, SIDE, SIDE, 3), generator=draw, dtype=torch.uint8)
    return Batch(
        views[0], views[1], views[2:].transpose(0, 1), torch.randperm(IMAGES, generator=draw)[:N], step
    )


@pytest.mark.parametrize("case", CASES)
def test_replayed_steps_are_those_computed_one_by_one(case, monkeypatch):
    # Compiled code is no operation of torch, and a kernel of Triton would be recorded.
    monkeypatch.setattr(Normalise, "forward", lambda self, x: normalise(x, self.mean, self.std))
    config, network = CASES[case]
    method = config.build(network, SIDE, seed=0, steps=10, images=IMAGES).train()
    reference = copy.deepcopy(method)
    loss = TruncatedTriplet(ranks=(2, 5)) if case == "triplet" else config.loss
    objective = Objective(loss, Selection(hardest=4) if case == "moco" else Selection())
    optimisers = [make_optimiser(one, Optimisation(optimizer="lars")) for one in (method, reference)]
    state = [*method.parameters(), *method.buffers()]
    step = RecordedStep(method, objective, mean_cosines, record(state))
    places = {}
    for number in range(WARM_UP + 3):
        batch = draw_batch(number)
        values = {name: value.clone() for name, value in step(batch)[1].items()}
        parts = reference(batch)
        loss = objective(parts)
        reference.zero_grad()
        loss.backward()
        expected = {"loss": loss.detach(), **mean_cosines(parts[0])}
        assert values == expected
        for one, optimiser in zip((method, reference), optimisers, strict=True):
            optimiser.step()
            one.after_step()
        for name, value in reference.state_dict().items():
            assert torch.equal(method.state_dict()[name], value), name
        assert not method.fresh
        found = {id(x): x.data_ptr() for x in [*state, *(x.grad for x in state if x.grad is not None)]}
        places = places if number != WARM_UP else found
        assert number < WARM_UP or places == found


def test_triplets_of_several_sides_are_not_recorded_and_on_says_why():
    method = triplet.Config(shrink_online=0.5).build(NETWORK, SIDE, seed=0, steps=10, images=IMAGES)
    device = torch.device("cuda")
    assert not records("auto", method, SIDE, device)
    with pytest.raises(InputError, match="a method whose steps are all alike; use --graphs auto"):
        records("on", method, SIDE, device)
    method = moco.Config(queue=18).build(NETWORK, SIDE, seed=0, steps=10)
    assert records("auto", method, 96, device) and not records("auto", method, 97, device)
    assert records("on", method, 224, device) and not records("off", method, 32, device)
    assert not records("auto", method, 32, torch.device("cpu"))
    with pytest.raises(InputError, match="needs a CUDA device"):
        records("on", method, 32, torch.device("cpu"))


def test_compiled_networks_keep_the_names_of_their_weights(monkeypatch):
    method = moco.Config(queue=18).build(NETWORK, SIDE, seed=0, steps=10)
    names, compiled = list(method.state_dict()), []

    def note(network):
        compiled.append(network)

    monkeypatch.setattr(Network, "compile", note)
    compile_networks(method)
    assert compiled == [method.query, method.key]
    assert list(method.state_dict()) == names
