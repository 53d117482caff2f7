"""The benchmark of steps, tiny: its rows, limits and rivals; never its speed."""

import pytest
import torch

from texneg.bench import step
from texneg.bench.common.ratios import one_thread
from texneg.bench.common.rival_steps import lightly_step, official_step
from texneg.bench.gpu import make_training
from texneg.train.data.loader import Batch
from texneg.train.flags import change
from texneg.train.networks.normalise import Normalise

TINY = change(
    step.CASES[step.SMALL], width=4, image_size=16, batch=8, bn_group=4, queue=16, dim=8, hidden=16, bn="none"
)


def test_every_limit_has_a_row(monkeypatch):
    pytest.importorskip("lightly")
    monkeypatch.setattr(step, "multiplies_bfloat16", lambda device: True)
    with one_thread():
        rows = step.measure(step.SMALL, TINY, torch.device("cpu"), rounds=1)
    of_case = [gate for gate in step.GATES if gate.case.startswith(step.SMALL)]
    assert of_case
    assert all(gate.value(rows) is not None for gate in of_case)
    parts = [row.figures[step.SHARE] for row in rows if row.case.endswith(step.PARTS)]
    assert sum(parts) == pytest.approx(1)
    assert all(share > 0 for share in parts)


@pytest.mark.parametrize("rival", [official_step, lightly_step])
def test_the_rivals_compute_the_same_loss(rival):
    """Of the first step, on the same queue; the authors' step also with a negative."""
    draw = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (3, 8, 16, 16, 3), generator=draw).byte()
    negatives = pixels[2].unsqueeze(1) if rival is official_step else None
    batch = Batch(pixels[0], pixels[1], negatives, torch.arange(8), 0)
    images = [Normalise()(x).contiguous() for x in pixels]
    if rival is lightly_step:
        pytest.importorskip("lightly")
    method, _ = make_training(TINY, batch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        theirs = rival(TINY, images if negatives is not None else images[:2])
        torch.manual_seed(2)
        shape = (8, 16) if rival is official_step else (16, 8)
        queue = torch.nn.functional.normalize(torch.randn(shape), dim=shape.index(8))
        method.queue.keys.copy_(queue.T if rival is official_step else queue)
        expected = TINY.objective(method(batch)).item()
        found = theirs().item()
        later = theirs().item()
    assert found == pytest.approx(expected, rel=1e-5)
    assert later != found
