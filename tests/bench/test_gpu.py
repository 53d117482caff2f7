"""The GPU benchmark on a CPU, tiny: every path runs and every limit has its row; never its speed."""

import pytest
import torch

from texneg.bench import gpu
from texneg.train.config import PretrainConfig
from texneg.train.flags import change

TINY = change(
    PretrainConfig(),
    arch="resnet18",
    stem="stride2",
    width=4,
    layers=(1, 1, 1, 1),
    dim=8,
    queue=16,
    bn="none",
    image_size=32,
    batch=4,
)


@pytest.fixture(params=["kernel", "torch"])
def executors(request, monkeypatch):
    """With the Triton kernels, in their interpreter, and without."""
    if request.param == "kernel":
        pytest.importorskip("triton")
    monkeypatch.setattr(gpu, "runs_triton", lambda device: request.param == "kernel")
    monkeypatch.setattr(gpu, "CALLS", 1)
    return request.param


@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton interprets only where there is no CUDA device")
def test_every_limit_has_a_row(executors, capsys):
    device = torch.device("cpu")
    rows = gpu.patch_rows(device, batch=1, side=16, rounds=1) + gpu.training_rows(TINY, device, rounds=1)
    missing = [gate for gate in gpu.GATES if gate.value(rows) is None]
    assert {gate.variant for gate in missing} == ({gpu.TRITON} if executors == "torch" else set())
    assert all(value > 0 for row in rows for value in row.ratios.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_cuda_device_one_line_says_so(capsys):
    assert gpu.measure_gpu(quick=True) == []
    assert capsys.readouterr().out == "no CUDA device: the GPU rows are left out\n"


def test_the_step_trains():
    views = torch.randint(0, 256, (2, 4, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
    batch = gpu.Batch(views[0], views[1], None, torch.arange(4), 0)
    still, moving = (gpu.moco_step(change(TINY, lr=lr, weight_decay=0.0), batch) for lr in (0.0, 0.1))
    assert still() == moving()
    assert still() != moving()
