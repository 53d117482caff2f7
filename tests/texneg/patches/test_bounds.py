"""No patch negative reads or writes outside its arrays: any call, run where compiled code checks bounds.

Run as a program, in a process of its own: whether bounds are checked is settled when numba is imported.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from texneg.patches.cpu import copy_rows
from texneg.patches.patches import patch_negatives, patch_permutation
from texneg.patches.plan import divisors

MODES = ({}, {"paper": True}, {"overlap": False}, None)  # None: a permutation


@pytest.mark.slow
def test_no_index_leaves_its_array(tmp_path):
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, __file__], check=False, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def check_that_bounds_are_checked():
    memory, other = np.zeros(8, np.uint8), np.ones(8, np.uint8)
    with pytest.raises(IndexError):
        copy_rows(memory, *np.array([0, 4], np.uint64), other, *np.array([1, 4, 2, 4], np.uint64))


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40), st.integers(0, 5)),
    ends=st.tuples(st.sampled_from([0, 0.3, 0.7, 1]), st.sampled_from([0, 0.3, 0.7, 1])),
    dtype=st.sampled_from(["uint8", "float16", "float32", "float64"]),
    steps=st.tuples(st.sampled_from([-2, -1, 1]), st.sampled_from([-1, 1, 2]), st.sampled_from([-1, 1])),
    mode=st.sampled_from(MODES),
    planar=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "count": st.integers(1, 3),
            "flip": st.booleans(),
            "rotate": st.booleans(),
            "seed": st.integers(0, 2**64 - 1),
            "epoch": st.integers(-3, 3),
        }
    ),
)
@settings(max_examples=300, deadline=None, database=None)
def fuzz(shape, ends, dtype, steps, mode, planar, options):
    import torch

    N, H, W, C = shape
    draws = np.random.default_rng(options["seed"])
    images = draws.integers(0, 256, (N, 2 * H, 2 * W, C)).astype(dtype)
    images = images[:, :: steps[0], :: steps[1], :: steps[2]][:, :H, :W]
    H, W = images.shape[1:3]
    lo, hi = sorted(1 + round(end * (min(H, W) - 1)) for end in ends)
    call = patch_negatives if mode is not None else patch_permutation
    if mode is None and not divisors(H, W, lo, hi):
        lo = 1
    options |= {"size": (lo, hi), "index": draws.integers(0, 2**63, N), **(mode or {})}
    made = call(images, **options)
    assert made.shape == (N, options["count"], H, W, C)
    assert set(made.ravel()) <= set(images.ravel())
    if planar:
        tensor = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
        out = torch.empty(N, options["count"], C, H, W, dtype=tensor.dtype)
        assert np.array_equal(call(tensor, out=out, **options).permute(0, 1, 3, 4, 2).numpy(), made)


def large_batches():
    """Enough bytes that the executor looks ahead to the next tile."""
    for mode in ({}, {"overlap": False}, {"flip": True}):
        patch_negatives(np.zeros((9, 200, 240, 3), np.uint8), **mode)


if __name__ == "__main__":
    check_that_bounds_are_checked()
    large_batches()
    fuzz()
