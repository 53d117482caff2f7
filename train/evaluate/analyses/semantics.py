"""Difficulty against semantics, and the consistency of difficulty (Cai et al., arXiv 2010.06682).

The difficulty of another image for a query is their cosine in the contrastive space, ranked query by query.
Are hard negatives of the same class, or of near classes in WordNet? And are some images hard for many
queries, more than by chance?

Shapes: N images, each a query and a negative of the others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from texneg.datasets.images import ImageSet
from texneg.datasets.wordnet.wordnet import path_similarity, read_parents, wu_palmer
from texneg.errors import InputError
from texneg.train.data.splits import require_labels
from texneg.train.evaluate.analyses.base import Analysis, Findings
from texneg.train.evaluate.analyses.embeddings import FEATURES, embed_pairs, has_head, note_features
from texneg.train.evaluate.analyses.uniformity import compare_others
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.figures import FAINT, Look, subplots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

EDGES = (0, 0.1, 0.5, 1, 2, 5, 10, 25, 50, 75, 90, 95, 99, 100)  # percent of the others, the hardest first
MEASURES = {"path": path_similarity, "wu_palmer": wu_palmer}
TITLES = {
    "same": "Share of the query's class, %",
    "path": "Path similarity of other classes",
    "wu_palmer": "Wu-Palmer similarity of other classes",
}
BINS = 24  # of the histogram of consistency


@dataclass(frozen=True)
class Semantics(Analysis):
    """Classes of hard negatives, their nearness in WordNet, and images that are hard for many queries."""

    hardest: float = 5.0
    """percent of the other images that count as hard for a query"""

    name: ClassVar[str] = "semantics"
    heading: ClassVar[str] = "What hard negatives are"
    lede: ClassVar[str] = "Other images ranked by their nearness to each query, the hardest at the left."
    caption: ClassVar[str] = (
        "Markers are means over a range of ranks, in percent; dashes are the mean over all ranks. With "
        "C classes one in C other images is of the query's class, so that “the hardest 1 %” of a set of "
        "ten classes is mostly of its class: compare encoders on the same images alone. WordNet "
        "similarities are of images of other classes; they need class folders named by WordNet id. Last "
        "panel: for how many queries an image is among the hardest, beside the binomial distribution "
        "that it would have if every query drew its hardest by chance (dashes). A spread above 1 means "
        "hubs: some images are hard for many. Hubs also arise from the geometry of a space alone, and "
        "prove no meaning."
    )

    def measure(self, encoder: Encoder, images: ImageSet, index: I64) -> dict[str, Any]:
        """Rank all pairs of the sample."""
        if not 0 < self.hardest < 100:
            raise InputError(f"--hardest {self.hardest}: needs a percentage between 0 and 100")
        labels = require_labels(images).labels[index]
        query, key = embed_pairs(encoder, images, index, seed=self.seed, batch=self.batch)
        order = rank_others(compare_others(query, key).numpy())
        return {
            "n": len(index),
            "classes": len(set(labels.tolist())),
            "edges": list(EDGES),
            "ranges": describe_ranges(order, labels, images.classes),
            "consistency": count_hard(order, self.hardest),
            "head": has_head(encoder),
        }

    @classmethod
    def numbers(cls, found: Findings) -> dict[str, float]:
        """The hardest percent beside all, and the spread of consistency."""
        rows = {}
        for name, one in found["ranges"].items():
            word = TITLES[name].removesuffix(", %")
            near = [mean for mean, edge in zip(one["means"], found["edges"][1:], strict=True) if edge <= 1]
            if (hardest := next((mean for mean in reversed(near) if mean is not None), None)) is not None:
                rows[f"{word}, hardest 1 %"] = hardest
            rows[f"{word}, all"] = one["all"]
        consistency = found["consistency"]
        hard = f"among the hardest {consistency['percent']:g} %"
        return rows | {
            f"spread of how often an image is {hard} (1 by chance)": consistency["spread"],
            f"share of images never {hard}": consistency["never"],
        }

    @classmethod
    def summary(cls, found: Findings) -> list[str]:
        """The numbers, and what is missing."""
        lines = super().summary(found)
        if "path" not in found["ranges"]:
            lines.append(
                "WordNet: needs class folders named by WordNet id, such as n02084071, of ImageNet's classes"
            )
        return lines if found["head"] else [*lines, FEATURES]

    @classmethod
    def figure(cls, arms: Sequence[tuple[Look, Sequence[Findings]]]) -> "Figure":
        """Each measure over ranks, and the consistency."""
        shown = [name for name in TITLES if any(name in one["ranges"] for _, runs in arms for one in runs)]
        figure, panels = subplots(1, len(shown) + 1, height=300, squeeze=False)
        edges = np.array(arms[0][1][0]["edges"])
        for axes, name in zip(panels[0], shown, strict=False):
            scale = 100 if name == "same" else 1
            for look, runs in arms:
                own = [one["ranges"][name] for one in runs if name in one["ranges"]]
                if own:
                    means = scale * np.array([one["means"] for one in own], float).mean(0)  # None is NaN
                    axes.plot(np.arange(len(edges) - 1), means, **{**look.line, "marker": look.marker})
                    axes.axhline(scale * np.mean([one["all"] for one in own]), color=FAINT, ls=(0, (2, 2)))
            axes.set_title(TITLES[name], fontsize=11)
            axes.set_xticks(np.arange(len(edges)) - 0.5, [f"{edge:g}" for edge in edges], fontsize=9)
            axes.set_xlabel("percent of ranks, hardest first")
        axes = panels[0, -1]
        for look, runs in arms:
            one = runs[0]["consistency"]
            axes.stairs(one["counts"], one["edges"], color=look.colour)
            axes.stairs(one["expected"], one["edges"], color=look.colour, linestyle=(0, (2, 2)))
        axes.set_title("Images by queries they are hard for", fontsize=11)
        axes.set_xlabel("queries")
        note_features(figure, arms)
        return figure


def rank_others(cosines: npt.NDArray[np.float32]) -> I64:
    """Order the other images of each query by falling cosine: (N, N - 1) places among the N."""
    order = np.argsort(-cosines, axis=1, kind="stable")
    return order + (order >= np.arange(len(cosines))[:, None])


def describe_ranges(order: I64, labels: I64, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Average the share of the same class, and the similarities of others, over ranges of ranks and all."""
    n = order.shape[1]
    ranges = np.searchsorted(EDGES, 100 * (np.arange(n) + 0.5) / n, side="right") - 1
    same = labels[order] == labels[:, None]
    found = {"same": _average(same.astype(np.float64), np.ones_like(same), ranges)}
    used = np.unique(labels).tolist()
    if len(used) < 2 or not all(classes[label] in read_parents() for label in used):
        return found
    for name, measure in MEASURES.items():
        table = np.zeros((len(classes), len(classes)))
        for a in used:
            for b in used:
                table[a, b] = measure(classes[a], classes[b])
        found[name] = _average(table[labels[:, None], labels[order]], ~same, ranges)
    return found


def _average(values: F64, counted: npt.NDArray[np.bool_], ranges: I64) -> dict[str, Any]:
    """Average (N, N - 1) values that count over ranges of columns; None where a range has none."""
    sums, counts = (values * counted).sum(0), counted.sum(0)
    total, pairs = (np.bincount(ranges, some, minlength=len(EDGES) - 1) for some in (sums, counts))
    means = [float(t / p) if p else None for t, p in zip(total, pairs, strict=True)]
    return {
        "means": means,
        "pairs": pairs.astype(int).tolist(),
        "all": float(sums.sum() / max(counts.sum(), 1)),
    }


def count_hard(order: I64, percent: float) -> dict[str, Any]:
    """Count for how many queries each image is among the hardest, beside Binomial(N - 1, share).

    The spread is the variance of the counts over that of the binomial distribution.
    """
    n, others = order.shape
    hard = max(1, round(others * percent / 100))
    share = hard / others
    counts = np.bincount(order[:, :hard].ravel(), minlength=n)
    edges = np.unique(
        np.linspace(0, counts.max() + 1, min(BINS, int(counts.max()) + 1) + 1).round().astype(int)
    )
    within = np.diff([0.0, *(_below(int(edge), others, share) for edge in edges[1:])])
    return {
        "percent": percent,
        "hard": hard,
        "spread": float(counts.var() / (others * share * (1 - share))) if share < 1 else 1.0,
        "never": float((counts == 0).mean()),
        "edges": edges.tolist(),
        "counts": np.histogram(counts, edges)[0].tolist(),
        "expected": (n * within).tolist(),
    }


def _below(end: int, trials: int, share: float) -> float:
    """Probability that a binomial number is below `end`."""
    if share >= 1:
        return float(end > trials)
    total, log_term = 0.0, trials * math.log1p(-share)
    for k in range(min(end, trials + 1)):
        total += math.exp(log_term)
        log_term += math.log((trials - k) / (k + 1)) + math.log(share / (1 - share)) if k < trials else 0.0
    return min(total, 1.0)
