"""Multinomial logistic regression along a path of penalties: L-BFGS with a preconditioner.

The time goes into products with the features, so they are made as rarely as can be. The first guess of the
Hessian is the covariance of the features, each image weighted by how undecided it is. Scores are linear in
the solution, so a line search costs one product, however many lengths it tries. From one penalty to the next
a solution first moves on as it moved before. And of a change of the gradient the part that the penalty makes
is known, so that the curvature seen at one penalty serves at the next.

Shapes: N images, F features, C classes.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

HISTORY = 20  # steps that the curvature is estimated from
TRIES = 10  # lengths of a step
SLOPE = 0.1  # share of the slope at which a length is good
ROWS = 8  # images for each feature that the covariance is taken of
TOLERANCE = 1e-6


def minimise(
    x: Tensor, labels: Tensor, start: Tensor, *, penalty: float, steps: int, tolerance: float = TOLERANCE
) -> Tensor:
    """Weight and bias (C, F + 1) that minimise mean cross-entropy + penalty / 2 * ||weight||^2, from `start`.

    Args:
        x: standardised features (N, F).
        labels: int64 (N,).
        start: (C, F + 1), the bias in the last column, which is not penalised.
        penalty: above 0.
        steps: at most.
        tolerance: it stops where the estimated distance from the minimum is this share of the objective.
    """
    path = PenaltyPath(x, labels, start)
    path.descend(penalty, steps=steps, tolerance=tolerance)
    return path.solution


def sweep(
    x: Tensor,
    labels: Tensor,
    *,
    classes: int,
    penalties: Sequence[float],
    steps: int,
    tolerance: float = TOLERANCE,
) -> Iterator[tuple[float, Tensor]]:
    """Solutions for each penalty from strong to weak, each started from the ones before."""
    path = PenaltyPath(x, labels, x.new_zeros(classes, x.shape[1] + 1))
    for penalty in sorted(penalties, reverse=True):
        path.descend(penalty, steps=steps, tolerance=tolerance)
        yield penalty, path.solution


class PenaltyPath:
    """A solution, its scores, and what is known of the curvature around it.

    Args:
        x: (N, F).
        labels: int64 (N,).
        start: (C, F + 1).
    """

    def __init__(self, x: Tensor, labels: Tensor, start: Tensor) -> None:
        self.x, self.labels, self.rows = x, labels, torch.arange(len(x), device=x.device)
        self.solution = start
        self.scores = self.multiply(start)
        self.steps: list[Tensor] = []
        self.changes: list[Tensor] = []
        """Of the gradient, by each of the steps."""
        self.penalty = 0.0
        self.moved: Tensor | None = None
        """The way of the solution from the last penalty but one to the last."""
        self.evaluate(self.scores.softmax(1))

    def multiply(self, weights: Tensor) -> Tensor:
        """Scores (N, C) of weights and biases (C, F + 1)."""
        return torch.addmm(weights[:, -1], self.x, weights[:, :-1].T)

    def evaluate(self, shares: Tensor) -> None:
        """Compute gradient and undecidedness of every image from the shares (N, C), which are used up."""
        self.spread = 1 - shares.square().sum(1)
        shares[self.rows, self.labels] -= 1
        shares /= len(self.x)
        self.gradient = torch.cat([shares.T @ self.x, shares.sum(0)[:, None]], 1)
        self.gradient[:, :-1] += self.penalty * self.solution[:, :-1]

    @property
    def objective(self) -> float:
        """Mean cross-entropy and penalty."""
        weight = self.solution[:, :-1]
        return (F.cross_entropy(self.scores, self.labels) + self.penalty / 2 * weight.square().sum()).item()

    def descend(self, penalty: float, *, steps: int, tolerance: float) -> None:
        """Go to the minimum for a penalty."""
        more, start = penalty - self.penalty, self.solution
        for step, change in zip(self.steps, self.changes, strict=True):
            change[:, :-1] += more * step[:, :-1]
        self.gradient[:, :-1] += more * start[:, :-1]
        self.penalty = penalty
        self.guess_curvature()
        if self.moved is not None:
            self.go(self.moved)
        for _ in range(steps):
            direction = self.choose_direction()
            distance = -(direction * self.gradient).sum().item() / 2
            if not distance > tolerance * self.objective or not self.go(direction):
                break
        self.moved = self.solution - start

    def guess_curvature(self) -> None:
        """Invert the weighted covariance plus the penalty, about the Hessian of each class."""
        N, size = self.x.shape
        every = max(1, N // (ROWS * size))
        weight = self.spread[::every] / max(1, len(self.solution) - 1)
        some = self.x[::every] * weight.sqrt()[:, None]
        covariance = some.T @ some / len(some)
        least = 1e-6 * covariance.diagonal().mean().item() + torch.finfo(self.x.dtype).tiny
        while True:
            damped = covariance.clone()
            damped.diagonal().add_(self.penalty + least)
            factor, failed = torch.linalg.cholesky_ex(damped)
            if not failed.item():
                break
            least *= 10
        self.inverse = torch.cholesky_inverse(factor)
        self.inverse_bias = 1 / max(weight.mean().item(), 1e-6)

    def precondition(self, value: Tensor) -> Tensor:
        """Multiply (C, F + 1) by the guessed inverse Hessian."""
        return torch.cat([value[:, :-1] @ self.inverse, self.inverse_bias * value[:, -1:]], 1)

    def choose_direction(self) -> Tensor:
        """The quasi-Newton direction, by the two loops of L-BFGS (Nocedal and Wright, algorithm 7.4)."""
        value = self.gradient.clone()
        curvatures = [(s * y).sum() for s, y in zip(self.steps, self.changes, strict=True)]
        parts = list(zip(self.steps, self.changes, curvatures, strict=True))
        lengths = []
        for step, change, curvature in reversed(parts):
            length = (step * value).sum() / curvature
            value -= length * change
            lengths.append(length)
        value = self.precondition(value)
        if parts:
            _, change, curvature = parts[-1]
            value *= curvature / (self.precondition(change) * change).sum()
        for (step, change, curvature), length in zip(parts, reversed(lengths), strict=True):
            value += (length - (change * value).sum() / curvature) * step
        return -value

    def go(self, direction: Tensor) -> bool:
        """Take a step along a direction (C, F + 1); False where rounding leaves nothing to gain."""
        before, slope = self.gradient, (direction * self.gradient).sum().item()
        if not slope < 0:
            return False
        scores = self.multiply(direction)
        length, shares = self.search(direction, scores, slope)
        step = length * direction
        self.solution = self.solution + step
        self.scores.add_(scores, alpha=length)
        self.evaluate(shares)
        change = self.gradient - before
        if not (step * change).sum().item() > 0:
            return False
        self.steps, self.changes = [*self.steps, step][-HISTORY:], [*self.changes, change][-HISTORY:]
        return True

    def search(self, direction: Tensor, scores: Tensor, slope: float) -> tuple[float, Tensor]:
        """Search the length of a step by Newton's method in one variable, and the shares (N, C) there."""
        weight, ahead = self.solution[:, :-1], direction[:, :-1]
        along, square = (weight * ahead).sum().item(), ahead.square().sum().item()
        right = scores[self.rows, self.labels].mean().item()
        low, high, length = 0.0, float("inf"), 1.0
        for attempt in range(TRIES):
            shares = torch.add(self.scores, scores, alpha=length).softmax(1)
            mean = torch.linalg.vecdot(shares, scores)
            found = mean.mean().item() - right + self.penalty * (along + length * square)
            if abs(found) <= SLOPE * -slope or attempt + 1 == TRIES:
                break
            low, high = (low, length) if found > 0 else (length, high)
            shares *= scores
            curvature = torch.linalg.vecdot(shares, scores) - mean.square()
            newton = length - found / max(curvature.mean().item() + self.penalty * square, 1e-30)
            middle = 2 * length if high == float("inf") else (low + high) / 2
            length = newton if low < newton < min(high, 10 * length + 10) else middle
        return length, shares
