"""Uniformity, tolerance and the spread of the penalty over temperature (Wang and Liu, CVPR 2021).

A loss of small temperature pushes the nearest negatives away, whatever they show: embeddings become uniform
and lose the nearness of images of one class. A large one tolerates that nearness and separates less.

Shapes: N images, K = N - 1 others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.geometry import penalty_entropy, tolerance, uniformity
from texneg.similarity import Similarities
from texneg.train.evaluate.analyses.base import Analysis, Findings
from texneg.train.evaluate.analyses.embeddings import (
    FEATURES,
    embed_pairs,
    has_head,
    note_features,
    read_settings,
)
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.figures import AXIS, Look, subplots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 8192  # images: 268 MB of cosines
NEAREST = 10  # other images of the "nearest" of the paper's figure 8
TABLE = {0.07: (3.917, 0.093), 0.3: (3.693, 0.380), 0.7: (3.323, 0.427), 1.0: (3.08, 0.456)}  # ImageNet-100


@dataclass(frozen=True)
class Uniformity(Analysis):
    """Uniformity against tolerance, and how many negatives share the penalty at each temperature."""

    temperatures: tuple[float, ...] = (0.05, 0.07, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
    """at which the penalty is looked at"""
    t: float = 2.0
    """of the uniformity"""

    name: ClassVar[str] = "uniformity"
    heading: ClassVar[str] = "Uniformity and tolerance"
    lede: ClassVar[str] = "How evenly embeddings cover the sphere, and how near images of one class stay."
    caption: ClassVar[str] = (
        "Left: up is more uniform, right more tolerant; the dilemma of a contrastive loss is that one costs "
        "the other. Crosses are the published values of the ordinary loss on ImageNet-100 at temperatures "
        "0.07, 0.3, 0.7 and 1 (Wang and Liu, CVPR 2021), for the direction: other images and other widths "
        "give other values. Right: the number of other images that share the penalty of a loss of that "
        "temperature on these embeddings, the exponential of its entropy, as a share of all; the marker is "
        "the temperature of the arm's training. A uniform space is not yet a good one."
    )

    def measure(self, encoder: Encoder, images: ImageSet, index: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Measure two views of each image."""
        if not 0 < self.t < math.inf:
            raise InputError(f"--t {self.t}: needs a number above 0")
        for temperature in self.temperatures:
            if not 0 < temperature < math.inf:
                raise InputError(f"--temperatures {temperature}: needs numbers above 0")
        query, key = embed_pairs(encoder, images, index, seed=self.seed, batch=self.batch)
        labels = torch.from_numpy(images.labels[index])
        return {
            **summarise(query, key, labels, temperatures=self.temperatures, t=self.t),
            "head": has_head(encoder),
            "trained_at": read_settings(encoder, "objective").get("loss", {}).get("temperature"),
        }

    @classmethod
    def numbers(cls, found: Findings) -> dict[str, float]:
        """Both, and the paper's two means of cosines."""
        rows = {
            "uniformity (-L, t = 2)" if found["t"] == 2 else f"uniformity (t = {found['t']:g})": found[
                "uniformity"
            ]
        }
        if found["tolerance"] is not None:
            rows["tolerance (mean cosine within a class)"] = found["tolerance"]
        return rows | {
            "cosine with another view": found["positive"],
            f"cosine with the {NEAREST} nearest other images": found["nearest"],
        }

    @classmethod
    def summary(cls, found: Findings) -> list[str]:
        """The numbers, and what is missing."""
        lines = super().summary(found)
        if found["tolerance"] is None:
            lines.append("tolerance: needs two images of one class; give images in class folders")
        return lines if found["head"] else [*lines, FEATURES]

    @classmethod
    def figure(cls, arms: Sequence[tuple[Look, Sequence[Findings]]]) -> "Figure":
        """Uniformity over tolerance, and the spread of the penalty over temperature."""
        figure, (left, right) = subplots(columns=2, height=330)
        left.plot(
            *zip(*((y, x) for x, y in TABLE.values()), strict=True),
            color=AXIS,
            markeredgecolor=AXIS,
            marker="x",
            ls=":",
        )
        for look, runs in arms:
            known = [one for one in runs if one["tolerance"] is not None]
            left.plot([r["tolerance"] for r in known], [r["uniformity"] for r in known], **look.point)
            temperatures = runs[0]["temperatures"]
            same = [one for one in runs if one["temperatures"] == temperatures]
            shares = 100 * np.mean([one["penalised"] for one in same], axis=0)
            right.plot(temperatures, shares, **look.line)
            if (at := runs[0]["trained_at"]) is not None:
                place = np.interp(math.log(at), np.log(temperatures), shares)
                right.plot(at, place, **look.point)
        left.set_xlabel("tolerance")
        left.set_ylabel("uniformity")
        right.set_xscale("log")
        right.set_xlabel("temperature")
        right.set_title("Share of other images that are penalised, %")
        ticks = arms[0][1][0]["temperatures"]
        right.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        right.minorticks_off()
        right.set_ylim(bottom=0)
        note_features(figure, arms)
        return figure


def summarise(
    query: Tensor, key: Tensor, labels: Tensor, *, temperatures: Sequence[float], t: float
) -> dict[str, Any]:
    """Measure embeddings (N, D) of two views, with labels (N,); -1 is none."""
    known = labels >= 0
    same = tolerance(query[known], labels[known]) if int(known.sum()) > 1 else torch.tensor(math.nan)
    others = compare_others(query, key)
    cosines = Similarities((query * key).sum(1), others, query.new_zeros(len(query), 0))
    return {
        "t": t,
        "uniformity": -float(uniformity(query, t)),
        "tolerance": None if same.isnan() else float(same),
        "positive": float(cosines.positive.double().mean()),
        "nearest": float(others.topk(min(NEAREST, others.shape[1]), dim=1).values.double().mean()),
        "temperatures": sorted(temperatures),
        "penalised": [
            math.exp(float(penalty_entropy(cosines, at))) / others.shape[1] for at in sorted(temperatures)
        ],
    }


def compare_others(query: Tensor, key: Tensor) -> Tensor:
    """Cosines of every query with the keys of the other images: (N, N - 1).

    Raises:
        InputError: too many images to compare all with all.
    """
    n = len(query)
    if n > MOST:
        raise InputError(f"{n} images: all are compared with all, so at most {MOST}; give --images {MOST}")
    cosines = query @ key.T
    return cosines[~torch.eye(n, dtype=torch.bool)].reshape(n, n - 1)
