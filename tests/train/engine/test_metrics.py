"""Metrics of a batch against their definitions, and times."""

import math

import pytest
import torch

from texneg.geometry import tolerance, uniformity
from texneg.similarity import Similarities
from texneg.train.engine import metrics
from texneg.train.engine.metrics import Interval, describe_batch
from texneg.train.objectives import Byol, InfoNCE, Objective, Selection

S = Similarities(
    torch.tensor([0.9, 0.2]), torch.tensor([[0.1, 0.5, -0.3], [0.4, 0.0, 0.1]]), torch.tensor([[0.8], [0.3]])
)


def test_a_batch_is_described_by_the_papers_measures():
    q, labels = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 1])
    found = describe_batch(S, Objective(InfoNCE(temperature=0.5, alpha=2.0)), q, labels)
    mass = []
    for p, n, t in zip(*(x.tolist() for x in S), strict=True):
        pushed = sum(math.exp(2 * one / 0.5) for one in t)
        mass.append(pushed / (math.exp(p / 0.5) + sum(math.exp(one / 0.5) for one in n) + pushed))
    assert found == pytest.approx(
        {
            "accuracy": 0.5,
            "nonsemantic_share": sum(mass) / 2,
            "uniformity": uniformity(q).item(),
            "tolerance": tolerance(q, labels).item(),
        },
        rel=1e-6,
    )
    kept = describe_batch(S, Objective(InfoNCE(0.5), Selection(hardest=1)), q, labels)
    assert kept["nonsemantic_share"] > found["nonsemantic_share"]


def test_what_cannot_be_measured_is_absent():
    q, none = torch.eye(2), torch.zeros(2, 0)
    assert describe_batch(Similarities(S.positive, none, none), Objective(Byol()), None, None) == {}
    others = describe_batch(S, Objective(Byol()), q, torch.tensor([0, 1]))  # no two images of a class
    assert others.keys() == {"accuracy", "uniformity"}


def test_an_interval_knows_the_share_of_waiting(monkeypatch):
    now = iter([10.0, 14.0, 20.0])
    monkeypatch.setattr(metrics.time, "monotonic", lambda: next(now))
    interval = Interval()
    interval.images, interval.waited = 256, 1.0
    assert interval.read() == {"images_per_second": 64.0, "data_wait": 0.25}
    interval.restart()
    assert (interval.images, interval.waited) == (0, 0)
