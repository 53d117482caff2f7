"""Pictures of frost: drawn here, or the published photographs from a folder of the user's.

The published ones carry no licence of their own and are not part of this package.
"""

from collections.abc import Sequence
from functools import cache, cached_property
from hashlib import sha256

import cv2
import numpy as np
import numpy.typing as npt

from texneg.datasets.corruptions.severities import F64, Image
from texneg.datasets.storage.places import parse_place
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream

COUNT = 5  # the published sixth is never chosen
SUFFIXES = (".png", ".jpg", ".jpeg")
SIDE = 768  # px, of the pictures drawn here
FERNS, POINTS = 200, 11  # in a picture, and steps along a line of one
DARK, LIGHT = np.array([38.0, 56.0, 82.0]), np.array([236.0, 245.0, 252.0])


class Pictures:
    """Five pictures, uint8 (h, w, 3) RGB of any size, and smaller versions of them."""

    def __init__(self, pictures: Sequence[Image]) -> None:
        self._pictures = tuple(pictures)
        self._shrunk: dict[tuple[int, float], Image] = {}

    def shrunk(self, number: int, factor: float) -> Image:
        """One of them, each side multiplied by a factor, bilinear; kept for the next call."""
        if (number, factor) not in self._shrunk:
            picture = self._pictures[number]
            small = picture if factor == 1 else cv2.resize(picture, (0, 0), fx=factor, fy=factor)
            self._shrunk[number, factor] = np.ascontiguousarray(small)
        return self._shrunk[number, factor]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all pixels."""
        parts = [str(picture.shape).encode() + picture.tobytes() for picture in self._pictures]
        return sha256(b"".join(parts)).hexdigest()


@cache
def read_pictures(folder: str) -> Pictures:
    """Read frost1 ... frost5 (.png, .jpg or .jpeg) of a folder.

    Raises:
        InputError: one of them is not there, or no picture.
    """
    place, found = parse_place(folder), []
    for number in range(1, COUNT + 1):
        paths = [place / f"frost{number}{suffix}" for suffix in SUFFIXES]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            raise InputError(
                f"{folder} has no frost{number}.png or .jpg; give the folder frost of the package"
                " imagecorruptions, or leave the flag out for frost drawn by texneg"
            )
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise InputError(f"{path} is no picture that can be read; copy it anew")
        found.append(np.asarray(pixels, np.uint8))
    return Pictures(found)


@cache
def own_pictures() -> Pictures:
    """Draw five pictures of ice ferns on a misty pane; numbers made with them are no published ones."""
    return Pictures([_draw_frost(number) for number in range(COUNT)])


def _draw_frost(number: int) -> Image:
    rng = generator(Stream.FROST, number)
    mist = sum(_draw_mist(rng, 3 * 2**octave) / 2**octave for octave in range(6)) / 2
    ferns = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(FERNS):
        _draw_fern(ferns, rng)
    glow = cv2.GaussianBlur(ferns, (0, 0), 4)
    ice = 0.55 * mist + 0.5 * ferns / 255 + 0.35 * glow / 255 + rng.normal(0, 0.02, (SIDE, SIDE))
    share = ice.clip(0, 1)[..., None]
    return (DARK + (LIGHT - DARK) * share).round().astype(np.uint8)


def _draw_mist(rng: np.random.Generator, cells: int) -> F64:
    """Smooth noise of 0 ... 1."""
    coarse = rng.random((cells, cells))
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)).clip(0, 1)


def _draw_fern(canvas: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """A stem with barbs at 60 degrees, and twigs at 60 degrees on these."""
    root, angle = rng.uniform(-0.1, 1.1, 2) * SIDE, rng.uniform(0, 2 * np.pi)
    length, bend, grey = rng.uniform(40, 260), rng.uniform(-0.5, 0.5), int(rng.integers(90, 220))
    stem = _walk(root[None], np.array([angle]), np.array([length]), np.array([bend]))
    share = np.repeat(np.arange(0.08, 0.97, 7 / length), 2)
    side = np.where(np.arange(len(share)) % 2, 1, -1)
    reach = 0.34 * length * (1 - share) ** 0.8 * rng.uniform(0.5, 1, len(share))
    heading = angle + bend * share + side * np.pi / 3
    barbs = _walk(stem[0, (share * POINTS).astype(int)], heading, reach, -0.3 * side)
    place = np.repeat(np.arange(0.2, 0.9, 0.16), 2)
    roots = barbs[:, (place * POINTS).astype(int)].reshape(-1, 2)
    turns = np.where(np.arange(len(place)) % 2, 1, -1) * np.pi / 3
    headings = (heading[:, None] + turns).ravel()
    twigs = _walk(roots, headings, (0.25 * reach[:, None] * (1 - place)).ravel(), np.zeros(len(roots)))
    for lines, shade, width in ((stem, grey, 2), (barbs, grey, 1), (twigs[:, [0, -1]], grey * 3 // 4, 1)):
        points = list(np.ascontiguousarray(np.round(lines * 16), np.int32))
        cv2.polylines(canvas, points, False, shade, width, cv2.LINE_AA, 4)


def _walk(roots: F64, angles: F64, lengths: F64, bends: F64) -> F64:
    """Points (N, POINTS + 1, 2) along N curves that begin at an angle and turn by `bends` radians."""
    headings = angles[:, None] + bends[:, None] * np.linspace(0, 1, POINTS)
    steps = np.stack([np.cos(headings), np.sin(headings)], axis=2) * (lengths[:, None, None] / POINTS)
    return np.concatenate([roots[:, None], roots[:, None] + np.cumsum(steps, axis=1)], axis=1)
