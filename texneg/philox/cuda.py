"""The words of `philox.arrays` in Triton, by its own `tl.randint4x`. Importing this imports Triton."""

import torch
import triton
import triton.language as tl


@triton.jit
def fold(key, field):  # type: ignore[no-untyped-def]
    """One more `fold` step, elementwise: uint64 keys extended by uint64 fields."""
    z = key + field + 0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    return z ^ (z >> 31)


@triton.jit
def below(word, bound):  # type: ignore[no-untyped-def]
    """Uniform int32 in 0 ... bound - 1 from each word, by multiply and shift; bound < 2^31."""
    return (word.to(tl.uint64) * bound >> 32).to(tl.int32)


@triton.jit
def _probe_kernel(out):  # type: ignore[no-untyped-def]
    tl.store(out, tl.load(out) + 1)


def probe(device: torch.device) -> None:
    """Launch the smallest kernel on a device.

    Raises:
        Exception: of any kind, where Triton does not run there.
    """
    with torch.cuda.device(device):
        _probe_kernel[(1,)](torch.zeros(1, dtype=torch.int32, device=device))
