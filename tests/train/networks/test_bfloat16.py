"""bfloat16 in compiled code is torch's."""

import numpy as np
import pytest
import torch

from texneg.jit import compiled
from texneg.train.networks.bfloat16 import as_array, load, store

INFINITE = float("inf")
VALUES = torch.cat(
    [
        torch.tensor([0.0, -0.0, INFINITE, -INFINITE, float("nan"), 3.3895e38, 1e-45]),
        torch.tensor([1 + 2**-8, 1 + 3 * 2**-8]),  # ties
        torch.randn(1000, generator=torch.Generator().manual_seed(0)),
    ]
)


def copy(source, target):
    for i in range(len(source)):
        store(target, i, load(source, i))


@pytest.mark.parametrize("function", [copy, compiled()(copy)], ids=["python", "compiled"])
def test_values_are_widened_and_rounded_as_by_torch(function):
    narrow, wide = torch.empty(len(VALUES), dtype=torch.bfloat16), torch.empty(len(VALUES))
    function(VALUES.numpy(), as_array(narrow))
    function(as_array(narrow), wide.numpy())
    expected = VALUES.bfloat16()
    assert np.array_equal(wide.numpy(), expected.float().numpy(), equal_nan=True)
    assert torch.equal(torch.signbit(wide[:2]), torch.tensor([False, True]))
