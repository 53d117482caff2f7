"""Nearest neighbours: a contact sheet of queries with what lies nearest, and how often it is of their class.

Shapes: N images, k neighbours, S side of a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.datasets.encode import encode
from texneg.datasets.images import UNLABELLED, ImageSet
from texneg.datasets.storage.atomic import write_bytes
from texneg.errors import InputError
from texneg.train.evaluate.analyses.base import Analysis, Findings, draw_sample
from texneg.train.evaluate.analyses.embeddings import FEATURES, embed, has_head, note_features
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.features import U8, crop
from texneg.train.evaluate.figures import Look, subplots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET = "neighbours.png"
MARGIN, BORDER, TEXT = 6, 4, 18  # pixels
RIGHT, WRONG, UNKNOWN, INK = (34, 139, 60), (200, 50, 40), (150, 150, 150), (30, 30, 30)
ROWS = 1024  # of cosines held at a time


@dataclass(frozen=True)
class Neighbours(Analysis):
    """Contact sheet of images with their nearest neighbours; how often these are of their class."""

    queries: int = 10
    """rows of the sheet, drawn by the seed"""
    k: int = 8
    """neighbours in a row"""
    side: int = 112
    """of each picture, pixels"""

    name: ClassVar[str] = "neighbours"
    heading: ClassVar[str] = "Nearest neighbours"
    lede: ClassVar[str] = "What lies nearest to an image, among the other images of the sample."
    picture: ClassVar[str] = SHEET
    caption: ClassVar[str] = (
        "Share of neighbours of the image's class, from the nearest on. The contact sheet "
        "below shows queries at the left, then their neighbours with the cosine; "
        "green frames are of the query's class, red ones of another. Look for what red neighbours have "
        "in common with their query: a colour, a background, a pose. A handful of rows shows what "
        "happens, not how often."
    )

    def measure(self, encoder: Encoder, images: ImageSet, index: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Embed the images as in a test, find neighbours, and write the sheet."""
        if self.queries < 1 or self.k < 1 or not 32 <= self.side <= 512:
            raise InputError(
                f"--queries {self.queries} --k {self.k} --side {self.side}: allowed are 1 or more, and 32 to"
                " 512 px"
            )
        if len(index) < 2:
            raise InputError(f"{len(index)} image: neighbours need at least two")

        def make(pixels: U8, i: int) -> dict[str, U8]:
            return {"image": crop(pixels, encoder.preprocessing)}

        vectors = embed(encoder, images, index, make, batch=self.batch)["image"]
        nearest, cosines = find_nearest(vectors, self.k)
        labels = images.labels[index]
        known = labels != UNLABELLED
        same = labels[nearest] == labels[:, None]
        rows = draw_sample(len(index), self.queries, seed=self.seed)
        picture = draw_rows(images, index, rows, nearest[rows], cosines[rows], side=self.side)
        write_bytes(str(Path(self.out) / SHEET), encode(picture, "png"))
        return {
            "k": nearest.shape[1],
            "same": same[known].mean(0).tolist() if known.any() else None,
            "cosine": cosines.mean(0).tolist(),
            "head": has_head(encoder),
            "sheet": SHEET,
        }

    @classmethod
    def numbers(cls, found: Findings) -> dict[str, float]:
        """The nearest, and all k."""
        rows = {"cosine with the nearest image": found["cosine"][0]}
        if found["same"] is not None:
            rows["nearest image of the same class, share"] = found["same"][0]
            rows[f"{found['k']} nearest images of the same class, share"] = float(np.mean(found["same"]))
        return rows

    @classmethod
    def summary(cls, found: Findings) -> list[str]:
        """The numbers, and where the sheet is."""
        lines = [*super().summary(found), f"contact sheet: {found['sheet']}"]
        return lines if found["head"] else [*lines, FEATURES]

    @classmethod
    def figure(cls, arms: Sequence[tuple[Look, Sequence[Findings]]]) -> "Figure | None":
        """Share of the same class over the rank of a neighbour."""
        known = [(look, [one["same"] for one in runs if one["same"] is not None]) for look, runs in arms]
        if not any(own for _, own in known):
            return None
        figure, axes = subplots(height=260)
        for look, own in known:
            if own:
                length = min(map(len, own))
                shares = 100 * np.mean([same[:length] for same in own], axis=0)
                axes.plot(range(1, length + 1), shares, **{**look.line, "marker": look.marker})
        axes.set_xlabel("rank of the neighbour")
        axes.set_title("Neighbours of the image's class, %")
        axes.set_ylim(0, 100)
        note_features(figure, arms)
        return figure


def find_nearest(vectors: Tensor, k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Find the k nearest others of unit vectors (N, D): places and cosines (N, k), the nearest first."""
    k, places, cosines = min(k, len(vectors) - 1), list[Tensor](), list[Tensor]()
    for start in range(0, len(vectors), ROWS):
        block = vectors[start : start + ROWS] @ vectors.T
        rows = torch.arange(len(block))
        block[rows, start + rows] = -torch.inf
        values, nearest = block.topk(k, dim=1)
        places.append(nearest)
        cosines.append(values)
    return torch.cat(places).numpy(), torch.cat(cosines).numpy()


def draw_rows(
    images: ImageSet,
    index: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    nearest: npt.NDArray[np.int64],
    cosines: npt.NDArray[np.float32],
    *,
    side: int,
) -> U8:
    """Draw a row for each query: its picture, then those of its neighbours in frames, with their cosines."""
    step, height = side + 2 * (MARGIN + BORDER), side + 2 * (MARGIN + BORDER) + TEXT
    sheet = np.full((height * len(rows), step * (1 + nearest.shape[1]), 3), 255, np.uint8)
    for row, (query, places) in enumerate(zip(rows.tolist(), nearest.tolist(), strict=True)):
        label = images.labels[index[query]]
        for column, place in enumerate([query, *places]):
            other = images.labels[index[place]]
            frame = RIGHT if label == other else WRONG
            if not column or UNLABELLED in (label, other):
                frame = UNKNOWN if column else INK
            top, left = row * height + MARGIN, column * step + MARGIN
            outer = side + 2 * BORDER
            sheet[top : top + outer, left : left + outer] = frame
            inner = sheet[top + BORDER : top + BORDER + side, left + BORDER : left + BORDER + side]
            inner[:] = cut_square(images[int(index[place])][0], side)
            name = images.classes[label] if not column and label != UNLABELLED else ""
            text = name[: side // 8] if not column else f"{cosines[row, column - 1]:.2f}"
            at = (left, top + outer + TEXT - 4)
            cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return sheet


def cut_square(pixels: U8, side: int) -> U8:
    """Cut the centre square out, and resize it."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = pixels[top : top + short, left : left + short]
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))
