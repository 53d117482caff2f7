"""Effective robustness: accuracy out of distribution beyond what accuracy in distribution predicts.

Taori et al., "Measuring robustness to natural distribution shifts in image classification", NeurIPS 2020. On
the logit scale, logit(p) = log(p / (1 - p)), the accuracies of most networks lie on a line:

    logit(out) = a + b logit(in), fitted by least squares
    effective robustness = out - sigmoid(a + b logit(in))

-1 ... 1; above 0 lies above the line.

Shapes: P points of the line, Q others.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.evaluate.intervals import LEVEL, Interval

FEWEST = 5  # points of a line
RESAMPLES = 10_000

Shares = npt.NDArray[np.float64]


class Line(NamedTuple):
    """logit(out) = intercept + slope * logit(in)."""

    intercept: float
    slope: float

    def predict(self, inside: Shares) -> Shares:
        """Predict accuracies out of distribution."""
        return sigmoid(self.intercept + self.slope * logit(inside))


def logit(share: Shares) -> Shares:
    """log(p / (1 - p)) of shares above 0 and below 1."""
    return np.log(share) - np.log1p(-share)


def sigmoid(value: Shares) -> Shares:
    """Inverse of `logit`."""
    return 1 / (1 + np.exp(-value))


def fit_line(inside: Shares, outside: Shares) -> Line | None:
    """Fit a line through (P,) accuracies above 0 and below 1.

    None where there are fewer than `FEWEST` points, or all have the same accuracy in distribution.
    """
    if len(inside) < FEWEST or np.ptp(inside) == 0:
        return None
    x, y = logit(inside), logit(outside)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return Line(float(y.mean() - slope * x.mean()), float(slope))


def bootstrap_residual(
    inside: Shares,
    outside: Shares,
    mine: tuple[Shares, Shares],
    *,
    images: tuple[int, int] | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Percentile interval of the mean effective robustness of (Q,) networks.

    Each resample draws the line's points with replacement and, where `images` are given, both accuracies of
    the networks from their binomial distributions; all networks see the same images and move together. None
    where too many resamples give no line.

    Args:
        inside: (P,) accuracies in distribution of the line's points.
        outside: (P,) theirs out of distribution.
        mine: both of the networks in question.
        images: numbers of images of these, in distribution and out of it.
        level: of the interval.
        resamples: number of lines.
        seed: of the resampling.
    """
    P = len(inside)
    draw = generator(seed, Stream.ROBUSTNESS_BOOTSTRAP)
    picked = draw.integers(P, size=(resamples, P))
    x, y = logit(inside)[picked], logit(outside)[picked]
    x_mean, y_mean = x.mean(1, keepdims=True), y.mean(1, keepdims=True)
    spread = ((x - x_mean) ** 2).sum(1)
    kept = spread > 1e-12
    if kept.mean() < level:
        return None
    slope = ((x - x_mean) * (y - y_mean)).sum(1)[kept] / spread[kept]
    height = y_mean[kept, 0] - slope * x_mean[kept, 0]
    a, b = (
        shares[None] if images is None else redraw(shares, images[place], draw, resamples)[kept]
        for place, shares in enumerate(mine)
    )
    predicted = sigmoid(height[:, None] + slope[:, None] * logit(a))
    residuals = (b - predicted).mean(1)
    low, high = np.quantile(residuals, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def redraw(shares: Shares, n: int, draw: np.random.Generator, resamples: int) -> Shares:
    """Draw (resamples, Q) accuracies of (Q,) networks on n other images, on which all move together."""
    mean = float(shares.mean())
    moved = shares + (draw.binomial(n, mean, size=(resamples, 1)) / n - mean)
    return np.clip(moved, 0.5 / n, 1 - 0.5 / n)


def keep_inside(share: float, n: int | None) -> float:
    """Move a share of n images that is 0 or 1 inwards by half an image, so that it has a logit."""
    edge = 0.5 / n if n else 1e-6
    return min(max(share, edge), 1 - edge)
