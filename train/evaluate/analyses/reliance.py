"""Reliance: the accuracy that an encoder keeps while shape, texture, colour and more are taken away.

After Burgert, Stoll, Rota, Demir (NeurIPS 2025, arXiv 2509.20234), in the classes of the user's own images.
Beside what is suppressed there: octaves of frequencies, a watermark, and images of the own patches or the own
texture alone, so that a shortcut that became stronger while another became weaker shows, too.

Shapes: N test images, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from texneg.cli import console
from texneg.datasets.encode import encode
from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.images import ImageSet
from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.json_files import append_json_line, read_json, read_json_lines
from texneg.datasets.suppressions.suppress import VERSION
from texneg.errors import InputError
from texneg.train.data.splits import require_labels
from texneg.train.evaluate.analyses.base import Findings
from texneg.train.evaluate.analyses.curves import (
    AXES,
    UNCHANGED,
    Point,
    change,
    compare,
    describe_change,
    list_points,
    pack,
)
from texneg.train.evaluate.analyses.curves_figure import draw_curves, draw_sheet
from texneg.train.evaluate.analyses.tested import Setup, Tested
from texneg.train.evaluate.cells import hash_fields
from texneg.train.evaluate.class_space import choose
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.features import U8, Edit, crop
from texneg.train.evaluate.figures import Look
from texneg.train.evaluate.intervals import wilson
from texneg.train.evaluate.sets.accuracy import vote

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELLS, SHEET = "reliance.jsonl", "reliance.png"


@dataclass(frozen=True)
class Reliance(Tested):
    """Accuracy while shape, texture, colour and more are taken away step by step, in your own classes."""

    axes: tuple[str, ...] = ("all",)
    """all, or some of shape, texture, colour, pairs, frequency, watermark, patches, textures"""
    grids: tuple[int, ...] = (2, 4, 8, 16)
    """squares a side, for patches that are shuffled or turned"""
    against: str | None = None
    """run folder with reliance.json of another encoder, to compare with on the same images"""

    name: ClassVar[str] = "reliance"
    heading: ClassVar[str] = "What the encoder relies on"
    lede: ClassVar[str] = (
        "Accuracy of a probe on frozen features while a feature of the test images is taken away by degrees."
    )
    picture: ClassVar[str] = SHEET
    caption: ClassVar[str] = (
        "Each panel begins with the unchanged images; squares are counted along a side, octaves in cycles "
        "an image, kernels, diameters and patches in pixels of an image of 224. A curve that falls early "
        "relies on what is taken away; dashes are chance, bands 95 % intervals over images, thin lines "
        "the vote of nearest neighbours. “Alone” means that nothing but the image's own patches, or its "
        "own texture, is left: a high value there says that this cue suffices. No filter takes away one "
        "thing and nothing else: shuffled patches have seams, and blur takes fine shape, too. Changes are "
        "paired, image by image; better and worse are said where the 95 % interval over images excludes "
        "0. The picture below is one test image at all points. Cue-conflict shape bias stands in the table "
        "where it was measured; it is disputed: over 48 published ResNet-50s its rank correlation with "
        "accuracy on ImageNet-R is about 0 (-0.01, from the table of Gavrikov and Keuper, CVPR 2024)."
    )

    def measure(self, encoder: Encoder, images: ImageSet, index: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Accuracy at every point; what is finished is read from reliance.jsonl."""
        points = list_points(self.axes, self.grids, encoder.image_size)
        other = read_other(self.against) if self.against else None
        tested, out = require_labels(images).take(index), Path(self.out)
        test = self.prepare(encoder, images, tested)
        same = {
            "encoder": encoder.fingerprint,
            "head": test.head.fingerprint,
            "data": sample_fingerprint(tested),
            "bank": test.bank_fingerprint,
            "classes": test.space.describe(),
            "transform": encoder.preprocessing.transform,
            "seed": self.seed,
            "version": VERSION,
        }
        first = crop(tested[0][0], encoder.preprocessing)
        picture = draw_sheet(first, points, seed=self.seed, key=tested.keys[0])
        write_bytes(str(out / SHEET), encode(picture, "png"))
        finished = {line["cell"]: line for line in read_json_lines(out / CELLS) if "right" in line}
        records: list[dict[str, Any]] = []
        for number, point in enumerate(points, 1):
            cell = hash_fields(**same, steps=[list(step) for step in point.steps])
            if cell not in finished:
                finished[cell] = {
                    "cell": cell,
                    **measure_point(test, point, seed=self.seed, batch=self.batch),
                }
                append_json_line(out / CELLS, finished[cell])
            record = {name: value for name, value in finished[cell].items() if name != "cell"}
            records.append({"axis": point.axis, "curve": point.curve, "strength": point.strength, **record})
            console.info(f"{number:>2}/{len(points)} {describe_point(records[-1])}")
        found = {
            "points": records,
            "n": int(test.space.known.sum()),
            "classes": test.space.kinds,
            "chance": test.space.chance,
            "sample": same["data"],
            "fitted": test.fitted,
            "shape_bias": read_shape_bias(out, encoder),
        }
        if other is None:
            return found
        return found | {"against": self.against, "change": describe_change(compare([found], [other]))}

    @classmethod
    def numbers(cls, found: Findings) -> dict[str, float]:
        """Mean accuracy of each axis, of the neighbours too, and the shape bias where it was measured."""
        by_axis: dict[str, list[Findings]] = {}
        for point in found["points"]:
            by_axis.setdefault(point["axis"], []).append(point)
        rows = {
            name: fmean(point["accuracy"] for point in by_axis[axis])
            for axis, name in ((UNCHANGED, "unchanged"), *AXES.items())
            if axis in by_axis
        }
        clean, chance = rows["unchanged"], found["chance"]
        if clean > chance:
            for axis in ("shape", "texture", "colour"):
                if axis in by_axis:
                    kept = (rows[AXES[axis]] - chance) / (clean - chance)
                    rows[f"kept above chance, {AXES[axis]}"] = kept
        if "knn" in by_axis[UNCHANGED][0]:
            rows["neighbours, unchanged"] = by_axis[UNCHANGED][0]["knn"]
            taken = [
                p["knn"] for axis in ("shape", "texture", "colour", "pairs") for p in by_axis.get(axis, ())
            ]
            if taken:
                rows["neighbours, taken away"] = fmean(taken)
        if found["shape_bias"] is not None:
            rows["cue-conflict shape bias (disputed)"] = found["shape_bias"]
        return rows

    @classmethod
    def summary(cls, found: Findings) -> list[str]:
        """The mean of each axis, and the comparison with the other encoder."""
        fitted = "" if found["fitted"] is None else f", probe fitted on {found['fitted']} images"
        chance = f"chance {100 * found['chance']:.1f} %"
        head = f"{found['n']} images of {found['classes']} classes ({chance}){fitted}"
        rows = [f"  {name:<44}{100 * value:5.1f} %" for name, value in cls.numbers(found).items()]
        line = [f"against {found['against']}: {found['change']}"] if "change" in found else []
        return [head, *rows, *line]

    @classmethod
    def figure(cls, arms: Sequence[tuple[Look, Sequence[Findings]]]) -> "Figure":
        """Curves of every arm, and the changes to the first one."""
        return draw_curves(arms)


def measure_point(test: Setup, point: Point, *, seed: int, batch: int) -> dict[str, Any]:
    """Accuracy at one point with its interval and all answers, of the neighbours too."""

    def apply(crop: U8, key: str) -> U8:
        return change(crop, point, seed=seed, key=key)

    identity = f"reliance {VERSION} {seed} {point.curve} {list(point.steps)}"
    edit = Edit(identity, apply) if point.steps else None
    values = test.extract(batch=batch, edit=edit)
    right = test.space.judge(choose(test.head.logits(values), test.space)["masked"])
    low, high = wilson(int(right.sum()), len(right))
    record: dict[str, Any] = {
        "accuracy": float(right.double().mean()), "low": low, "high": high, "right": pack(right.numpy())
    }  # fmt: skip
    if test.bank is not None:
        voted, used = vote(test.bank(), values, test.space, classes=len(test.head.classes))
        near = test.space.judge(voted)
        record |= {"knn": float(near.double().mean()), "knn_right": pack(near.numpy()), "k": used["k"]}
    return record


def describe_point(record: Findings) -> str:
    """Describe one point for the terminal."""
    knn = f", neighbours {100 * record['knn']:.1f} %" if "knn" in record else ""
    what = "" if record["axis"] == UNCHANGED else f" {record['strength']:g}"
    return (
        f"{record['curve'].replace('_', ' ')}{what}: {100 * record['accuracy']:.1f} %"
        f" [{100 * record['low']:.1f}, {100 * record['high']:.1f}]{knn}"
    )


def read_other(folder: str) -> Findings:
    """Read the findings of another encoder.

    Raises:
        InputError: there are none.
    """
    path = Path(folder) / "reliance.json"
    if not path.is_file():
        raise InputError(f"--against {folder}: no reliance.json there; make it with texneg analyze reliance")
    return read_json(path)


def read_shape_bias(out: Path, encoder: Encoder) -> float | None:
    """Read the cue-conflict shape bias of this encoder from the ood.json of its folder, if it is there."""
    path = out / "ood.json"
    found = read_json(path) if path.is_file() else {}
    if found.get("encoder") != encoder.fingerprint:
        return None
    values = [one["shape_bias"] for one in found["sets"] if one.get("shape_bias") is not None]
    return float(values[-1]) if values else None
