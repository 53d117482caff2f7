"""Corruption error: mistakes under a corruption, relative to those of a reference.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
ICLR 2019. With the top-1 errors E[s, c] at severity s of corruption c, those R[s, c] of a reference, and
their errors on clean images,

    CE(c)          = sum over s of E[s, c] / sum over s of R[s, c]
    relative CE(c) = sum over s of (E[s, c] - E_clean) / sum over s of (R[s, c] - R_clean)
    mCE            = mean of CE over the fifteen corruptions; relative mCE likewise

The sums come first, then the ratio; both have the same severities. CE is 0 or more, the reference's own is 1
(printed as 100), lower is better. Relative CE is below 0 for a network that corruptions help. The mean error,
sometimes called unnormalised mCE, is the mean of E alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

Errors = Mapping[str, Mapping[int, float]]
"""Top-1 errors by corruption and severity."""

FIFTEEN = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
ALEXNET = dict(  # mean over five severities, published files, 1,000 classes; hendrycks/robustness, augmix
    zip(
        FIFTEEN,
        (
            0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360, 0.866816,
            0.826572, 0.819324, 0.564592, 0.853204, 0.646056, 0.717840, 0.606500,
        ),
        strict=True,
    )
)  # fmt: skip
ALEXNET_CLEAN = 0.4348  # its error on the clean validation images


@dataclass(frozen=True)
class CorruptionError:
    """Corruption errors against one reference, as shares: 1 is the reference's own."""

    by_corruption: Mapping[str, float]
    """CE of each corruption that both have"""
    mean: float | None
    """over the fifteen: mCE; None unless all are there"""
    relative: Mapping[str, float | None] | None
    """relative CE; None without clean errors, of a corruption where the reference loses nothing to it"""
    relative_mean: float | None
    """over the fifteen: relative mCE; None unless all are there"""


def average_severities(errors: Errors) -> dict[str, float]:
    """Mean error of each corruption over its severities."""
    return {name: fmean(by_severity.values()) for name, by_severity in errors.items()}


def compare_errors(
    errors: Mapping[str, float],
    reference: Mapping[str, float],
    *,
    clean: float | None = None,
    reference_clean: float | None = None,
) -> CorruptionError:
    """Compare mean errors over severities with those of a reference over the same severities.

    Args:
        errors: by corruption, 0 ... 1.
        reference: by corruption, above 0; corruptions that it lacks, or without an error, are left out.
        clean: error on clean images; None where it is not known.
        reference_clean: that of the reference.
    """
    ratios = {name: error / reference[name] for name, error in errors.items() if reference.get(name)}
    relative = None
    if clean is not None and reference_clean is not None:
        relative = {
            name: (errors[name] - clean) / lost if (lost := reference[name] - reference_clean) > 0 else None
            for name in ratios
        }
    return CorruptionError(ratios, _mean_of_fifteen(ratios), relative, _mean_of_fifteen(relative or {}))


def _mean_of_fifteen(values: Mapping[str, float | None]) -> float | None:
    found = [value for name in FIFTEEN if (value := values.get(name)) is not None]
    return fmean(found) if len(found) == len(FIFTEEN) else None


def standard_error(
    wrong: Mapping[str, npt.NDArray[np.floating]], reference: Mapping[str, npt.NDArray[np.floating] | float]
) -> float:
    """Standard error of the mean of CE over corruptions, over images that all corruptions share.

    Ratios linearised: image i contributes the mean over c of (wrong[c][i] - CE(c) reference[c][i]) / R(c).

    Args:
        wrong: (n,) of each corruption: errors of each image, mean over severities.
        reference: (n,) likewise, or the known error of a reference that was measured elsewhere.
    """
    terms: list[npt.NDArray[np.float64]] = []
    for name, mistakes in wrong.items():
        theirs = reference[name]
        level = float(np.mean(theirs))
        terms.append((mistakes - np.mean(mistakes) / level * theirs) / level)
    influence = np.mean(terms, axis=0)
    return float(np.sqrt(np.mean(influence**2) / len(influence)))


def name_missing(found: Sequence[str]) -> tuple[str, ...]:
    """The corruptions of the fifteen that are not among these."""
    return tuple(name for name in FIFTEEN if name not in set(found))
