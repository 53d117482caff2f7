"""The table of normalised bytes gives the bits of the arithmetic."""

import pytest
import torch

from texneg.train.networks.look_up import on_cpu
from texneg.train.networks.normalise import Normalise, normalise

PIXELS = torch.randint(0, 256, (5, 7, 7, 3), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pixels", [PIXELS, PIXELS.flip(0).permute(0, 2, 1, 3)], ids=["dense", "strided"])
def test_a_table_gives_the_bits_of_the_arithmetic(dtype, pixels):
    module = Normalise().to(dtype)
    found, expected = module(pixels), normalise(pixels, module.mean, module.std)
    assert torch.equal(found, expected)
    assert found.dtype == dtype


def test_autocast_rounds_what_comes_out():
    module = Normalise()
    with torch.autocast("cpu", torch.bfloat16):
        found = module(PIXELS)
    assert torch.equal(found, module(PIXELS).bfloat16())
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernel_equals_the_compiled_code(dtype):
    pytest.importorskip("triton")
    from texneg.train.networks.look_up_cuda import on_cuda

    device = "cuda" if torch.cuda.is_available() else "cpu"
    table = torch.randn(3, 256, generator=torch.Generator().manual_seed(1)).to(dtype)
    assert torch.equal(on_cuda(PIXELS.to(device), table.to(device)).cpu(), on_cpu(PIXELS, table))
