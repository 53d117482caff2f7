"""The points of a reliance profile: which suppressions at which strengths, by curve and by axis.

An *axis* is what is taken away (shape, texture, colour, two of them, an octave of frequencies), what is added
(a watermark), or the only thing that is left (patches, textures). A *curve* is one way to do so, from weak to
strong; a *point* is one strength.

Shapes: N images, R runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.datasets.corruptions.draws import hash_text
from texneg.datasets.suppressions.frequency import exists
from texneg.datasets.suppressions.patches import require_grid
from texneg.datasets.suppressions.suppress import SUPPRESSIONS, Steps, suppress
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.textures.live.negatives import texture_negatives
from texneg.textures.presets import SMALLEST_OUTPUT
from texneg.train.evaluate.features import U8
from texneg.train.evaluate.intervals import Interval, bootstrap

AXES = {  # of the flag, and in words
    "shape": "shape taken away",
    "texture": "texture taken away",
    "colour": "colour taken away",
    "pairs": "two of them taken away",
    "frequency": "an octave taken away",
    "watermark": "under a watermark",
    "patches": "own patches alone",
    "textures": "own texture alone",
}
CUES = ("patches", "textures")  # accuracies of a cue by itself: neither good nor bad
UNCHANGED = "unchanged"
TEXTURES = "textures"  # a step, beside the names of suppressions
PAIRS: dict[str, tuple[Steps, Steps]] = {
    "texture and shape": (
        (("blur", 7), ("patch_shuffle", 4)),
        (("blur", 15), ("patch_shuffle", 8)),
    ),
    "texture and colour": ((("blur", 7), ("grey", 0.5)), (("blur", 15), ("grey", 1))),
    "shape and colour": ((("grey", 0.5), ("patch_shuffle", 4)), (("grey", 1), ("patch_shuffle", 8))),
}


@dataclass(frozen=True)
class Point:
    """One way of changing all images."""

    axis: str
    curve: str
    strength: float
    steps: Steps


def list_points(axes: Sequence[str], grids: Sequence[int], side: int) -> list[Point]:
    """List the points of axes for images of this side; the unchanged images come first.

    Raises:
        InputError: an unknown axis, or a grid of more squares than the image has pixels.
    """
    for axis in axes:
        if axis not in (*AXES, "all"):
            raise InputError(f"--axes {axis}: allowed are all, {', '.join(AXES)}")
    for grid in grids:
        if grid < 2:
            raise InputError(f"--grids {grid}: needs 2 squares a side or more")
        try:
            require_grid(grid, side)
        except InputError as error:
            raise InputError(f"--grids {grid}: {error}; give smaller grids, such as --grids 2 4") from error
    chosen = set(AXES) if not axes or "all" in axes else set(axes)
    return [Point(UNCHANGED, UNCHANGED, 0, ()), *(p for p in _all_points(grids, side) if p.axis in chosen)]


def _all_points(grids: Sequence[int], side: int) -> Iterator[Point]:
    for name, one in SUPPRESSIONS.items():
        for strength in sorted(grids) if one.axis == "shape" else one.strengths:
            if name != "octave" or exists(strength, side):
                yield Point(one.axis, name, strength, ((name, strength),))
    for curve, levels in PAIRS.items():
        for number, steps in enumerate(levels, 1):
            yield Point("pairs", curve, number, steps)
    if side >= SMALLEST_OUTPUT:
        yield Point("textures", TEXTURES, 1, ((TEXTURES, 1),))


def change(crop: U8, point: Point, *, seed: int, key: str) -> U8:
    """Change a crop (S, S, 3) as a point says."""
    if point.curve == TEXTURES:
        drawn = generator(seed, Stream.SUPPRESSION, hash_text(TEXTURES), hash_text(key)).integers(1 << 62)
        made: U8 = texture_negatives(crop[None], seed=int(drawn), threads=1)[0, 0]
        return made
    return suppress(crop, point.steps, seed=seed, key=key)


def pack(right: npt.NDArray[np.bool_]) -> str:
    """Write right and wrong answers (N,) as hexadecimal digits."""
    return np.packbits(right).tobytes().hex()


def unpack(text: str, n: int) -> npt.NDArray[np.bool_]:
    """Read what `pack` wrote of n answers."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=n).astype(bool)


class Change(NamedTuple):
    """Difference of accuracies on an axis between two encoders, on the same images."""

    mean: float
    interval: Interval

    @property
    def sign(self) -> int:
        """1 and -1 for a difference whose interval excludes 0, else 0."""
        return 1 if self.interval.low > 0 else -1 if self.interval.high < 0 else 0


def compare(mine: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]) -> dict[str, Change]:
    """Compare the findings of R runs with those of R others, axis by axis; nothing where their images differ.

    The interval resamples images: the value of each is the mean over the points of an axis and over runs of
    right (1) or wrong (0), one encoder's minus the other's.
    """
    pairs = [
        (a, b) for a, b in zip(mine, base, strict=False) if a["sample"] == b["sample"] and a["n"] == b["n"]
    ]
    found: dict[str, list[npt.NDArray[np.float64]]] = {}
    for a, b in pairs:
        points = [{(p["curve"], p["strength"]): p for p in one["points"]} for one in (a, b)]
        for name in points[0].keys() & points[1].keys():
            right, other = (unpack(some[name]["right"], a["n"]).astype(float) for some in points)
            found.setdefault(points[0][name]["axis"], []).append(right - other)
    return {
        axis: Change(float(np.mean(found[axis])), bootstrap(np.mean(found[axis], axis=0).round(9)))
        for axis in (UNCHANGED, *AXES)
        if axis in found
    }


def describe_change(changes: Mapping[str, Change]) -> str:
    """Say in a line what got better, worse, or is undecided; cues by themselves rise or fall."""
    words: dict[str, list[str]] = {}
    for axis, found in changes.items():
        kind = ("falls", "undecided", "rises") if axis in CUES else ("worse", "undecided", "better")
        name = f"{UNCHANGED} images" if axis == UNCHANGED else AXES[axis]
        number = "" if found.sign == 0 else f" {100 * found.mean:+.1f}"
        words.setdefault(kind[found.sign + 1], []).append(f"{name}{number}")
    order = ("better", "worse", "falls", "rises", "undecided")
    parts = [f"{word}: {', '.join(words[word])}" for word in order if word in words]
    nothing = "nothing to compare, for the images differ; give both the same --images and --seed"
    return "; ".join(parts) or nothing
