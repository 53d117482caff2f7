"""The benchmark of batch norm, tiny: its rows, limits and rival; never its speed."""

import torch

from texneg.bench import batch_norm
from texneg.bench.common.ratios import one_thread
from texneg.train.flags import change
from texneg.train.networks.batch_norm import SplitBatchNorm


def test_every_limit_has_a_row_and_groups_cost_no_operations(monkeypatch):
    case, config = next(iter(batch_norm.CASES.items()))
    tiny = change(config, width=4, image_size=16, batch=8, bn_group=4, queue=16)
    monkeypatch.setitem(batch_norm.CASES, case, tiny)
    with one_thread():
        rows = batch_norm.measure(case, rounds=1)
    for gate in batch_norm.GATES:
        assert gate.case != case or gate.value(rows) is not None
    _, split, looped = (row.ratios[batch_norm.OPERATIONS] for row in rows)
    assert split < 1 < looped


def test_the_rival_computes_the_same():
    norm = SplitBatchNorm(torch.nn.BatchNorm2d(3), 4)
    x = torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch_norm.normalise_each(norm, x), norm(x))
