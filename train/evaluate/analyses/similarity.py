"""Cosines between a view and its positive, other images, and negatives with diminished semantics.

The first thing to look at: in an ordinary contrastive space the texture and the patches of an image lie much
nearer to it than other images do (Ge et al., NeurIPS 2021), and training against them moves them away.

Shapes: N images, D embedding, S view side.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from texneg.datasets.images import ImageSet
from texneg.datasets.pairs import pair
from texneg.errors import InputError
from texneg.train.data.augmentations import KEY, QUERY, Augmentation
from texneg.train.data.reading import find_unreadable
from texneg.train.data.splits import open_textures
from texneg.train.evaluate.analyses.base import Analysis, Findings
from texneg.train.evaluate.analyses.embeddings import (
    EPOCH,
    FEATURES,
    embed,
    has_head,
    make_view,
    note_features,
    read_settings,
    settle_augmentation,
)
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.features import U8
from texneg.train.evaluate.figures import AXIS, INK, SOFT, Look, is_narrow, subplots
from texneg.train.negatives import Negative, Patch, Texture, TextureLive, read_negatives

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PUBLISHED = {"positive": 0.943, "ordinary": 0.0, "texture": 0.352, "patch": 0.295}
OTHERS = 16  # other images compared with each query
BINS = 200  # of equal width over -1 ... 1
BINS_SHOWN = 50
Cosines = dict[str, npt.NDArray[np.float32]]
Make = Callable[[U8, int], U8]
"""From a query view (S, S, 3) and the place of its image to a negative (S, S, 3)."""


@dataclass(frozen=True)
class Similarity(Analysis):
    """Histograms of cosines in the contrastive space: positive, ordinary, patch and texture negatives."""

    textures: str | None = None
    """their textures made by texneg synth; none: those in the same tars as the images (texneg synth --layout
    paired), else textures synthesised from the views, if of 16 px or more"""

    name: ClassVar[str] = "similarity"
    heading: ClassVar[str] = "How near negatives lie"
    lede: ClassVar[str] = (
        "The cosine between one view of an image and its company, in the space that the loss sees."
    )
    caption: ClassVar[str] = (
        "Each row is the distribution of cosines between a query and images of one kind; the marker on "
        "its floor is the mean, and each row is scaled to its own peak. An encoder that leans on "
        "texture puts the image's own texture and patches far to the right of other images. Training "
        "against them should move those rows to the left and leave the top row where it is. AUC is the "
        "probability that a positive lies nearer than one of that row: 1 separates perfectly, 0.5 not "
        "at all. Dotted marks are the means that are reported for the official MoCo-v2 on training images of "
        "ImageNet (0.943, texture 0.352, patches 0.295, other images 0.000; of Ge et al., NeurIPS 2021)."
    )

    def measure(self, encoder: Encoder, images: ImageSet, index: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Histograms of the cosines."""
        texture = None
        if (textures := self.open_textures(images)) is not None:
            texture = read_textures(images, textures, index)
        cosines = collect(encoder, images, index, texture=texture, seed=self.seed, batch=self.batch)
        return {**count_cosines(cosines), "head": has_head(encoder)}

    def find_unreadable(self, images: ImageSet, index: npt.NDArray[np.int64]) -> dict[int, str]:
        """Decode the images and their textures."""
        bad = super().find_unreadable(images, index)
        left = np.array([i for i in index.tolist() if i not in bad], np.int64)
        if len(left) and (textures := self.open_textures(images)) is not None:
            pairs = pair(images.take(left), textures).tolist()
            faults = find_unreadable(textures, pairs)
            bad |= {i: faults[t] for i, t in zip(left.tolist(), pairs, strict=True) if t in faults}
        return bad

    def open_textures(self, images: ImageSet) -> ImageSet | None:
        """Open textures made before, if there are any."""
        found = open_textures(self.textures or "", images, self.data)
        return found and replace(found, allow_truncated=self.allow_truncated)

    @classmethod
    def numbers(cls, found: Findings) -> dict[str, float]:
        """Mean cosine of each kind, and AUC of the positives against it."""
        kinds = {name: found["kinds"][kind] for kind, name in name_kinds([found]).items()}
        means = {f"cosine with {name}": row["mean"] for name, row in kinds.items()}
        aucs = {name: row["auc"] for name, row in kinds.items() if row["auc"] is not None}
        return means | {f"AUC against {name}": auc for name, auc in aucs.items()}

    @classmethod
    def summary(cls, found: Findings) -> list[str]:
        """A line for each kind."""
        lines = []
        for kind, row in found["kinds"].items():
            auc = "" if row["auc"] is None else f", AUC against positives {row['auc']:.3f}"
            lines.append(f"{kind:<12} mean cosine {row['mean']:+.3f} (sd {row['sd']:.3f}, n {row['n']}){auc}")
        return lines if found.get("head", True) else [*lines, FEATURES]

    @classmethod
    def figure(cls, arms: Sequence[tuple[Look, Sequence[Findings]]]) -> "Figure":
        """One row for each kind of second image: every arm's density of cosines, and its mean."""
        found = [one for _, runs in arms for one in runs]
        kinds = name_kinds(found)
        figure, panels = subplots(
            len(kinds), height=(110 if is_narrow() else 92) * len(kinds) + 50, sharex=True, squeeze=False
        )
        for (kind, name), axes in zip(kinds.items(), panels[:, 0], strict=True):
            for look, runs in arms:
                rows = [one["kinds"][kind] for one in runs if kind in one["kinds"]]
                if not rows:
                    continue
                counts = np.sum([row["counts"] for row in rows], axis=0)
                centres, heights = _smooth(runs[0]["edges"], counts)
                axes.fill_between(centres, heights, color=look.colour, alpha=0.1, linewidth=0)
                axes.plot(centres, heights, **look.line)
                mean = np.mean([row["mean"] for row in rows])
                axes.plot(mean, 0, clip_on=False, **look.point)
            axes.axvline(0, color=AXIS, linewidth=1)
            if kind in PUBLISHED:
                axes.axvline(PUBLISHED[kind], ymax=0.3, color=SOFT, linestyle=(0, (1.2, 1.2)), linewidth=2)
            if is_narrow():
                axes.set_title(name, fontsize=12, fontweight="normal")
            else:
                axes.set_ylabel(name, rotation=0, ha="right", va="center", color=INK, size=14)
            axes.set_ylim(bottom=0)
            axes.set_yticks([])
        axes.set_xlim(min(map(_find_lowest, found)), 1)
        axes.set_xlabel("cosine with the query")
        note_features(figure, arms)
        return figure


def name_kinds(found: Sequence[Findings]) -> dict[str, str]:
    """Names of the kinds of images that a query was compared with: positives first, other images last."""
    kinds = sorted({kind for one in found for kind in one["kinds"]} - {"positive", "ordinary"})
    negatives = {kind: f"its {kind.replace('_', ' ')}" for kind in kinds}
    return {"positive": "another view of it", **negatives, "ordinary": "other images"}


def _find_lowest(found: Findings) -> float:
    """Find the left end of the axis: a quarter below which hardly a cosine of any kind lies, at most 0."""
    ends = [0.0]
    for row in found["kinds"].values():
        shares = np.cumsum(row["counts"]) / row["n"]
        ends.append(found["edges"][int(np.searchsorted(shares, 0.002))])
    return float(np.floor(4 * min(ends)) / 4)


def _smooth(edges: Sequence[float], counts: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Turn counts into bin centres and densities, neighbouring bins joined until few enough to draw."""
    starts = np.arange(0, len(counts), max(1, len(counts) // BINS_SHOWN))
    heights = np.add.reduceat(counts.astype(np.float64), starts)
    borders = np.asarray(edges)[[*starts, len(counts)]]
    return (borders[:-1] + borders[1:]) / 2, heights / max(heights.sum(), 1) / np.diff(borders)


def negatives_to_compare(
    encoder: Encoder, augmentation: Augmentation, *, texture: Callable[[int], U8] | None, seed: int
) -> dict[str, Make]:
    """Functions that make the negatives to compare a query with, by kind.

    They are those that the encoder was trained with, and patches and textures: read where `texture` is given,
    which get exactly the query's augmentation, else synthesised from the query. A kind that cannot be made of
    views of this side is left out.
    """
    made_before, trained = texture is not None, read_settings(encoder, "negatives")
    kinds: dict[str, Negative] = {"patch": Patch()}
    kinds |= {"texture": Texture()} if made_before else {"texture_live": TextureLive()}
    kinds |= {kind.name: kind for kind, _ in read_negatives(trained).kinds} if trained else {}

    def textures(*, index: Sequence[int]) -> U8:
        assert texture is not None
        return np.stack([make_view(texture(i), i, QUERY, augmentation, seed=seed) for i in index])

    def maker(kind: Negative) -> Make:
        def make(query: U8, i: int) -> U8:
            stream: dict[str, Any] = {"count": 1, "seed": seed, "epoch": EPOCH, "index": [i]}
            made: U8 = kind.make(query[None], textures=textures, **stream)[0, 0]
            return made

        return make

    def possible(kind: Negative) -> bool:
        with suppress(InputError):
            kind.check(augmentation.image_size)
            return made_before or not kind.needs_textures
        return False

    return {name: maker(kind) for name, kind in kinds.items() if possible(kind)}


def read_textures(images: ImageSet, textures: ImageSet, index: npt.NDArray[np.int64]) -> Callable[[int], U8]:
    """Pair the images at N places with textures; the result reads that of a place.

    Raises:
        InputError: an image lacks one.
    """
    pairs = dict(zip(index.tolist(), pair(images.take(index), textures).tolist(), strict=True))
    return lambda i: textures[pairs[i]][0]


def collect(
    encoder: Encoder,
    images: ImageSet,
    index: npt.NDArray[np.int64],
    *,
    augmentation: Augmentation | None = None,
    texture: Callable[[int], U8] | None = None,
    seed: int = 0,
    batch: int = 256,
) -> Cosines:
    """Measure cosines in the contrastive space by kind: "positive", "ordinary", and each kind of negative.

    Each is (N,), but "ordinary" (N * others,): the query against the positives of up to `OTHERS` other
    images. Query and positive are two views as in training. All go through the query encoder, with BN in
    evaluation mode.

    Args:
        encoder: with `embed`, (N, 3, S, S) to (N, D). Left in the mode it came in.
        images: what `index` points into.
        index: places of N images, at least 2.
        augmentation: of the views; None for that of the encoder's training.
        texture: uint8 texture of the image at a place.
        seed: of views and patches.
        batch: images a forward pass.
    """
    if len(index) < 2:
        raise InputError(f"{len(index)} image: cosines with other images need at least two")
    augmentation = augmentation or settle_augmentation(encoder)
    negatives = negatives_to_compare(encoder, augmentation, texture=texture, seed=seed)

    def make(pixels: U8, i: int) -> dict[str, U8]:
        query, key = (make_view(pixels, i, view, augmentation, seed=seed) for view in (QUERY, KEY))
        made = {kind: negative(query, i) for kind, negative in negatives.items()}
        return {"query": query, "key": key, **made}

    vectors = embed(encoder, images, index, make, batch=batch)
    query, key = vectors.pop("query"), vectors.pop("key")
    cosines = {"positive": (query * key).sum(1)}
    offsets = np.unique(np.linspace(1, len(index) - 1, OTHERS).round().astype(int))
    cosines["ordinary"] = torch.cat([(query * key.roll(int(o), 0)).sum(1) for o in offsets])
    cosines |= {kind: (query * other).sum(1) for kind, other in vectors.items()}
    return {kind: values.numpy() for kind, values in cosines.items()}


def separation(positive: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """AUC: the probability that a positive cosine exceeds another one, ties counted half."""
    ordered = np.sort(other)
    below, up_to = (np.searchsorted(ordered, positive, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(other))


def count_cosines(cosines: Cosines) -> dict[str, Any]:
    """Counts over `BINS` bins, mean, deviation, quartiles and separation from the positives, by kind."""
    edges = np.linspace(-1, 1, BINS + 1)
    return {
        "edges": edges.tolist(),
        "kinds": {
            kind: {
                "n": len(values),
                "mean": float(values.mean(dtype=np.float64)),
                "sd": float(values.std(dtype=np.float64)),
                "quartiles": np.quantile(values, [0.25, 0.5, 0.75]).tolist(),
                # A cosine may round to just beyond 1.
                "counts": np.histogram(values.clip(-1, 1), edges)[0].tolist(),
                "auc": None if kind == "positive" else separation(cosines["positive"], values),
            }
            for kind, values in cosines.items()
        },
    }
