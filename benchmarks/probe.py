"""Time of the probe's sweep of penalties beside scikit-learn's L-BFGS on the same features, one core.

12,000 images of 100 classes that overlap, with 512 features such as a ResNet-18 gives: after a ReLU,
correlated. Seven penalties from strong to weak, each started from the solution before, on both sides, in
float32. Both have to come as near to the minimum (of float64, found once): scikit-learn is given the loosest
of its tolerances with which it does. Objectives are computed in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from texneg.bench.common.ratios import Gate, Row, compare, one_thread, report
from texneg.bench.common.results import RatioConfig
from texneg.cli import console
from texneg.errors import RunFailed
from texneg.train.evaluate.linear import PENALTIES, TO_CHOOSE, standardisation
from texneg.train.evaluate.logistic import sweep

IMAGES, FEATURES, CLASSES, NUMBER = 12_000, 512, 100, 7
GAP = 3e-4  # of a minimum, relative, that both sides have to come within
TOLERANCES = (
    1e-4,
    3e-5,
    1e-5,
    3e-6,
    1e-6,
    3e-7,
    1e-7,
)  # of scikit-learn, on the largest entry of the gradient
CASE = f"{IMAGES} x {FEATURES}, {CLASSES} classes, {NUMBER} penalties"
OURS, RIVAL, X_RIVAL = "texneg", "scikit-learn, L-BFGS", "x scikit-learn"
GATES = (Gate(CASE, OURS, X_RIVAL, "at least", 2.0),)


@dataclass(frozen=True)
class Problem:
    """Standardised features and the penalties of a sweep."""

    x: Tensor
    """float32 (N, F)"""
    labels: Tensor
    """int64 (N,)"""
    penalties: tuple[float, ...]

    def objectives(self, solutions: Sequence[Tensor]) -> np.ndarray:
        """Objective of each solution (C, F + 1), in float64."""
        x, found = self.x.double(), []
        for penalty, solution in zip(self.penalties, solutions, strict=True):
            weight, bias = solution.double()[:, :-1], solution.double()[:, -1]
            loss = F.cross_entropy(torch.addmm(bias, x, weight.T), self.labels)
            found.append((loss + penalty / 2 * weight.square().sum()).item())
        return np.array(found)


def bench(config: RatioConfig) -> int:
    """Time both sides in turns; `quick` takes a sixth of the images and fewer rounds."""
    if find_spec("sklearn") is None:
        console.out("texneg bench probe: left out, scikit-learn is not installed (pip install texneg[bench])")
        return 0
    from threadpoolctl import threadpool_limits

    problem = make_problem(IMAGES // 6 if config.quick else IMAGES)
    with one_thread(), threadpool_limits(1):
        exact = Problem(problem.x.double(), problem.labels, problem.penalties)
        least = problem.objectives(solve(exact, tolerance=1e-9, steps=1000))
        gap = (problem.objectives(solve(problem)) / least - 1).max()
        if not gap <= GAP:
            raise RunFailed(
                f"{OURS}: objective {gap:.1e} above the minimum, allowed is {GAP:g}; run the tests"
            )
        tolerance, rival_gap = match_tolerance(problem, least)
        timings = compare(
            {RIVAL: lambda: solve_rival(problem, tolerance), OURS: lambda: solve(problem)},
            rounds=2 if config.quick else 5,
        )
    case = CASE if len(problem.x) == IMAGES else f"{len(problem.x)} images, quick"
    rows = [
        Row(
            case,
            side,
            timings[side].seconds * 1e6 / len(problem.x),
            {X_RIVAL: timings[RIVAL].over(timings[side])},
        )
        for side in (RIVAL, OURS)
    ]
    about = f"{OURS} {gap:.1e}, scikit-learn {rival_gap:.1e} (tol {tolerance:g}); allowed {GAP:g}"
    return report(config, rows, GATES, largest_gap_to_the_minimum=about)


def make_problem(images: int) -> Problem:
    """Draw features of classes that overlap, the same at every call."""
    draw = torch.Generator().manual_seed(0)
    rank = 96
    labels = torch.randint(CLASSES, (images,), generator=draw)
    centres = torch.randn(CLASSES, rank, generator=draw)
    mixing = torch.randn(rank, FEATURES, generator=draw) * torch.linspace(0.15, 0.03, rank)[:, None]
    hidden = centres[labels] + 2.5 * torch.randn(images, rank, generator=draw)
    features = (hidden @ mixing + 0.3 * torch.randn(images, FEATURES, generator=draw) - 0.2).relu()
    mean, std = standardisation(features)
    return Problem(((features - mean) / std).contiguous(), labels, PENALTIES[:NUMBER])


def solve(problem: Problem, *, tolerance: float = TO_CHOOSE, steps: int = 100) -> list[Tensor]:
    """Solutions of the sweep."""
    found = sweep(
        problem.x,
        problem.labels,
        classes=CLASSES,
        penalties=problem.penalties,
        steps=steps,
        tolerance=tolerance,
    )
    return [solution for _, solution in found]


def solve_rival(problem: Problem, tolerance: float) -> list[Tensor]:
    """Solutions of scikit-learn, each started from the one before."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="lbfgs", tol=tolerance, max_iter=10_000, warm_start=True)
    x, labels, found = problem.x.numpy(), problem.labels.numpy(), []
    for penalty in problem.penalties:
        model.set_params(C=1 / (penalty * len(x))).fit(x, labels)
        found.append(torch.from_numpy(np.column_stack([model.coef_, model.intercept_])))
    return found


def match_tolerance(problem: Problem, least: np.ndarray) -> tuple[float, float]:
    """Find the loosest tolerance with which scikit-learn comes near enough, and how near.

    Raises:
        RunFailed: there is none.
    """
    for tolerance in TOLERANCES:
        gap = (problem.objectives(solve_rival(problem, tolerance)) / least - 1).max()
        if gap <= GAP:
            return tolerance, float(gap)
    raise RunFailed(f"scikit-learn comes no nearer to the minimum than {gap:.1e}; allowed is {GAP:g}")
