"""Live textures by Triton kernels: the bytes of torch, compiled on a CUDA device, else interpreted."""

import pytest
import torch

from texneg.textures.live import device
from texneg.textures.live.plan import LiveOptions, batch_key, default_exemplar, levels, passes

pytest.importorskip("triton")
import triton

from texneg.textures.live import cuda

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INDEX = torch.tensor([3, -(2**62)])


@pytest.fixture(autouse=True)
def one_thread():
    """Torch's small operations take longer when they are shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pictures(height, width):
    """Waves under noise, (2, H, W, 3) uint8."""
    draw = torch.Generator().manual_seed(height)
    y, x = torch.arange(height).view(-1, 1, 1), torch.arange(width).view(-1, 1)
    wave = torch.sin(y * torch.rand(2, 1, 1, 3, generator=draw) + x * torch.rand(2, 1, 1, 3, generator=draw))
    noise = 12 * torch.randn(2, height, width, 3, generator=draw)
    return (128 + 90 * wave + noise).clamp(0, 255).byte()


def both(images, options):
    expected = device.maps(images, INDEX, options)
    return cuda.maps(images.to(DEVICE), INDEX.to(DEVICE), options).cpu(), expected


@pytest.mark.parametrize(("sides", "count", "pixels"), [((18, 20), 1, 32), ((56, 56), 1, 512)])
def test_the_same_bytes_as_torch(monkeypatch, sides, count, pixels):
    monkeypatch.setattr(cuda, "_PIXELS", pixels)
    options = LiveOptions(default_exemplar(*sides), count, batch_key(1, 2))
    found, expected = both(pictures(*sides), options)
    assert found.shape == (2, count, *sides)
    assert torch.equal(found, expected)


def test_turned_squares_and_more_levels_give_the_same_bytes(monkeypatch):
    monkeypatch.setattr(cuda, "_PIXELS", 128)
    found, expected = both(pictures(16, 17), LiveOptions(12, 1, batch_key(1, 2), 1, turn=True))
    assert torch.equal(found, expected)


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="no CUDA device")
@pytest.mark.parametrize("side", [64, 96, 224])
def test_the_same_bytes_as_torch_at_training_sizes(side):
    found, expected = both(
        pictures(side, side), LiveOptions(default_exemplar(side, side), 2, batch_key(0, 0))
    )
    assert torch.equal(found, expected)


@pytest.mark.skipif(DEVICE == "cuda", reason="the CUDA device multiplies bytes itself, in the tests above")
def test_windows_multiplied_byte_by_byte_cost_the_same(monkeypatch):
    """The instruction that CUDA devices have, put in Triton's words, in the kernel that they run."""

    def dp4a(text, constraints, words, dtype, is_pure, pack):
        a, b, total = words
        assert text == "dp4a.u32.u32 $0, $1, $2, $3;"
        return total + (a & 255) * (b & 255) + (a >> 8 & 255) * (b >> 8 & 255) + (a >> 16) * (b >> 16)

    level, keys = levels(16, 8)[0], torch.tensor([5])
    atlas = device.atlas(pictures(8, 8).unsqueeze(0).int(), level)
    start = device.starts(keys, level).int()
    rules = passes(0, 1)[:1]
    expected = cuda.refine(start, None, atlas, keys, level, rules)
    monkeypatch.setattr(cuda, "_multiplies_bytes", lambda _: True)
    monkeypatch.setattr(triton.language, "inline_asm_elementwise", dp4a)
    found = cuda.refine(start, None, atlas, keys, level, rules)
    assert torch.equal(found, expected)
    assert not torch.equal(found, start)
