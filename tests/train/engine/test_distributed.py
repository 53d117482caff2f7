"""Two gloo processes do what one process does with the joint batch: loss, gradient, queue, statistics."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from texneg.errors import InputError
from texneg.train.centring import Centring
from texneg.train.data.augmentations import MocoV2
from texneg.train.data.loader import Batches
from texneg.train.distributed import (
    Launch,
    Vote,
    choose_gpu,
    choose_meeting,
    gather,
    process_group,
    read_launch,
)
from texneg.train.engine.metrics import Meter
from texneg.train.engine.step import distribute
from texneg.train.methods import byol, memory_bank, moco, simclr, simo, triplet
from texneg.train.negatives import Negatives, Patch, PatchPermutation, TextureLive
from texneg.train.networks.backbone import Architecture
from texneg.train.networks.batch_norm import SyncBatchNorm, find_places, shuffled_pass
from texneg.train.objectives import Objective, TruncatedTriplet

WORLD, STEPS = 2, 3
CONFIGS = {
    "moco": moco.Config(queue=24, momentum=0.9),
    "symmetric moco": moco.Config(queue=24, momentum=0.9, symmetric=True),
    "byol": byol.Config(momentum=0.9),
    "simo": simo.Config(momentum=0.9, keys=5),
    "simclr": simclr.Config(),
    "triplet": triplet.Config(momentum=0.9, shrink_online=0.5, shrink_target=0.6),
    "memory bank": memory_bank.Config(keys=20),
    "triplet in groups": triplet.Config(momentum=0.9, group=4),
}
CENTRED = {"byol": "mean", "symmetric moco": "soft_maximum", "simclr": "confusion"}
"""Those whose non-semantic cosines are compared over the images of both processes."""
pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="torch has no gloo")


def picture(i):
    return np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)


def run_steps(name, rank=0, world=1):
    """A few steps of SGD; returns losses, gradients of the last step, and the state."""
    bn = "none" if world == 1 else "sync"
    network = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8, bn=bn)
    config = CONFIGS[name]
    method = config.build(network, 16, seed=0, steps=10, images=40).double()  # batch norm magnifies rounding
    if name in CENTRED:
        method.centring = Centring(CENTRED[name])
    loss = replace(config.loss, alpha=1.5)
    objective = Objective(replace(loss, ranks=(1, 3)) if isinstance(loss, TruncatedTriplet) else loss)
    module = distribute(method) if world > 1 else method
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    batches = Batches(
        image=picture,
        n=40,
        augmentation=MocoV2(16),
        batch=8,
        seed=0,
        negatives=Negatives(((Patch(), 0.4), (PatchPermutation(), 0.2), (TextureLive(), 0.4))),
        rank=rank,
        world=world,
    )
    losses = []
    for step in range(STEPS):
        loss = objective(module(batches.make(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step()
        losses.append(gather(loss.detach().view(1)).mean().item())
    gradients = [p.grad for p in method.parameters() if p.requires_grad]
    return losses, gradients, method.state_dict()


def layers(rank, world):
    """Synchronised batch norm and a shuffled pass, on this process's half of a fixed batch."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(8, 3, 4, 4, generator=draw)
    mine = x.chunk(world)[rank].clone().requires_grad_()
    norm = SyncBatchNorm(nn.BatchNorm2d(3)) if world > 1 else nn.BatchNorm2d(3)
    y = norm(mine)
    y.square().mul(torch.arange(3.0).view(3, 1, 1)).sum().backward()
    order = np.array([5, 2, 7, 0, 1, 6, 3, 4])
    z = shuffled_pass(nn.Flatten(), mine.detach(), find_places(order, len(mine)))
    return [gather(t.detach()) for t in (y, mine.grad, z)] + [norm.running_mean, norm.running_var]


def meters(rank):
    """Readings of a meter that goes on, and of one that goes on from the first process's saved state."""
    meter, resumed = Meter(), Meter()
    meter.add({"loss": torch.tensor(float(rank))})
    states = [None] * WORLD
    dist.all_gather_object(states, meter.state())
    resumed.restore(states[0], torch.device("cpu"))
    for one in (meter, resumed):
        one.add({"loss": torch.tensor(10.0 + rank)})
    return meter.read(), resumed.read()


def votes(rank):
    """Answers: the second process wishes to stop at the third question, the first, slow then, at the last."""
    vote = Vote()
    answers = [vote.ask(step == 2 and rank == 1) for step in range(4)]
    answers += [vote.ask(step == 6 and rank == 0, slow=rank == 0) for step in range(4, 7)]
    return answers, vote.read()


def work(rank, folder):
    """Join the other process as tasks of srun do."""
    torch.set_num_threads(1)
    with process_group("cpu"):
        results = {name: run_steps(name, rank, WORLD) for name in CONFIGS}
        results["layers"] = layers(rank, WORLD)
        results["meter"] = meters(rank)
        results["votes"] = votes(rank)
        torch.save(results, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Reports of both processes. They start afresh: a fork of a process with threads may hang."""
    folder = tmp_path_factory.mktemp("gloo")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        step = {
            "SLURM_STEP_NUM_TASKS": "2",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(probe.getsockname()[1]),
        }
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder)],
            env=os.environ | step | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
        )
        for rank in range(WORLD)
    ]
    try:
        assert all(process.wait(timeout=600) == 0 for process in started)
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_equal_one_with_the_joint_batch(two, name):
    losses, gradients, state = run_steps(name)
    for result in two:
        assert result[name][0] == pytest.approx(losses, rel=1e-5)
        for mine, expected in zip(result[name][1], gradients, strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-6)
        for key, expected in state.items():
            if not key.endswith("num_batches_tracked"):
                torch.testing.assert_close(result[name][2][key], expected, rtol=1e-4, atol=1e-6)


def test_the_queue_holds_the_keys_of_both_processes_in_order(two):
    _, _, state = run_steps("moco")
    for result in two:
        torch.testing.assert_close(result["moco"][2]["queue.keys"], state["queue.keys"], rtol=1e-4, atol=1e-6)
    assert torch.equal(two[0]["moco"][2]["queue.keys"], two[1]["moco"][2]["queue.keys"])


def test_synchronised_layers_equal_those_of_one_process(two):
    expected = layers(0, 1)
    for result in two:
        mine = result["layers"]
        half = len(expected[2]) // WORLD
        assert len(mine[2]) == 2 * half
        for a, b in zip(mine, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_resumed_meter_reads_what_an_uninterrupted_one_does(two):
    for result in two:
        assert result["meter"] == ({"loss": 5.5}, {"loss": 5.5})


def test_all_processes_hear_a_wish_to_stop_at_the_same_step(two):
    for result in two:
        assert result["votes"] == ([False, False, False, True, False, False, True], False)


TORCHRUN = {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
SRUN = {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        (TORCHRUN, Launch(3, 1, 4)),
        (SRUN, Launch(5, 1, 8)),
        (SRUN | TORCHRUN, Launch(3, 1, 4)),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, None),  # the script of sbatch
        ({"RANK": "1", "WORLD_SIZE": "2"}, Launch(1, 0, 2)),
    ],
)
def test_a_process_knows_its_place(variables, expected):
    assert read_launch(variables) == expected


def test_a_place_that_is_missing_or_no_number_is_named():
    for wrong, message in (({"WORLD_SIZE": "2"}, "RANK=:"), (TORCHRUN | {"RANK": "x"}, "RANK=x: no number")):
        with pytest.raises(InputError, match=message):
            read_launch(wrong)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("", "localhost"),
        ("gpu7", "gpu7"),
        ("gpu[007-009,12],cpu1", "gpu007"),
        ("rack[2-3]-node[5,7]", "rack2-node5"),
        ("a1,b[2-3]", "a1"),
    ],
)
def test_processes_of_slurm_meet_at_the_first_node(nodes, first):
    chosen = choose_meeting({"SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0"})
    assert chosen["MASTER_ADDR"] == first
    assert 20000 <= int(chosen["MASTER_PORT"]) < 32000
    assert choose_meeting({"SLURM_NODELIST": nodes, "MASTER_PORT": "1", "MASTER_ADDR": "x"}) == {
        "MASTER_ADDR": "x",
        "MASTER_PORT": "1",
    }


def test_each_process_has_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [choose_gpu("cuda", local) for local in (0, 1)] == [0, 1]
    with pytest.raises(InputError, match="process 2 of this machine has no GPU, 2 are visible"):
        choose_gpu("cuda", 2)
    with pytest.raises(InputError, match="--device cuda:1: each process takes a GPU of its own"):
        choose_gpu("cuda:1", 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # srun --gpus-per-task=1
    assert choose_gpu("cuda", 3) == 0


if __name__ == "__main__":
    work(int(sys.argv[1]), sys.argv[2])
