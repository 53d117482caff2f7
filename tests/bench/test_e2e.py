"""The benchmark of a whole training, tiny: it trains, and its shares are all of it; never its speed."""

import pytest
import torch

from texneg.bench import e2e
from texneg.bench.common import phases
from texneg.bench.common.ratios import one_thread
from texneg.datasets.toy.embedded import EmbeddedConfig, write_embedded
from texneg.train.flags import change
from texneg.train.recipes import find_recipe


def test_the_shares_are_of_one_training(tmp_path):
    write_embedded(tmp_path / "toy", EmbeddedConfig(train_per_class=2, test_per_class=1, size=16))
    config = change(
        find_recipe("demo"), data=str(tmp_path / "toy" / "train"), out=str(tmp_path / "run"), width=4,
        image_size=16, batch=8, bn_group=4, queue=8, device="cpu",
    )  # fmt: skip
    with one_thread():
        whole, *parts = e2e.measure("demo", config, steps=2)
    assert whole.figures[e2e.RATE] > 0 and 0 < whole.figures[e2e.WAITED] < 1
    shares = {row.variant: row.figures[e2e.SHARE] for row in parts}
    assert sum(shares.values()) == pytest.approx(1)
    assert {phases.VIEWS, phases.NEGATIVES, phases.QUERY, phases.NEGATIVE_KEYS, phases.QUEUE} <= set(shares)
    assert not (tmp_path / "run").exists()
    assert torch.is_grad_enabled()
