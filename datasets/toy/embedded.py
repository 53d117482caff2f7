"""The embedded data set: shapes filled and backed with textures, two cues that compete.

Each training image has a texture of its own, whose family says nothing of the shape: a contrastive network
tells images apart by it, and needs no shape. The figure is darker than its ground everywhere. Test images:

    same            the training distribution
    new-textures    families never seen in training
    silhouettes     the filled shape, black on white
    line-drawings   its outline, black on white
    noise, blur, contrast, pixelate     `same`, corrupted at severity 3
    cue-conflict    the texture family of another class (names are <shape><i>-<texture><j>)

The images of `train` and `same` are there twice, in folders by shape and, in `by-texture`, by the family of
the figure's texture, so that either cue can be read from features. In `biased` a shape has the family of its
class with probability `CORRELATION`: labels to which texture is a shortcut. Every image depends only on
(seed, set, class, number).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from texneg.datasets.corruptions.corrupt import corrupt
from texneg.datasets.corruptions.draws import Draws
from texneg.datasets.corruptions.extra import BLUR_SIGMA
from texneg.datasets.corruptions.filters import to_bytes
from texneg.datasets.corruptions.severities import Constants
from texneg.datasets.storage.atomic import write_many
from texneg.datasets.storage.json_files import read_json, write_json
from texneg.datasets.toy.patterns import FAMILIES, UNSEEN_FAMILIES, Family, pattern
from texneg.datasets.toy.shapes import SHAPES, Outline, draw, fill, transform
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream

Image = npt.NDArray[np.uint8]

CORRELATION = 0.9
FIGURE_CONTRAST = (0.45, 0.85)
GROUND_CONTRAST = (0.3, 0.6)
DARKEST_GROUND, LIGHTEST_FIGURE = 0.5, 0.55  # levels that grounds and figures are drawn between, of 0 ... 1
CLASSES = tuple(sorted(SHAPES))
TEXTURES = tuple(family.__name__ for family in FAMILIES)
TEXTURED_SETS = ("same", "cue-conflict", "new-textures")
DRAWN_SETS = ("silhouettes", "line-drawings")
CORRUPTED_SETS = {
    "noise": "gaussian_noise",
    "blur": "gaussian_blur",
    "contrast": "contrast",
    "pixelate": "pixelate",
}
TEST_SETS = (*TEXTURED_SETS, *DRAWN_SETS, *CORRUPTED_SETS)
SEVERITY = 3
SMALL = 64  # px, up to which corruptions have the constants of CIFAR-C


@dataclass(frozen=True)
class EmbeddedConfig:
    """Size and seed of the embedded data set."""

    train_per_class: int = 320
    """training images of each of the eight classes"""
    biased_per_class: int = 80
    """images of each class in `biased`"""
    test_per_class: int = 100
    """images of each class in every test set"""
    size: int = 64
    """side of the images, pixels"""
    seed: int = 0
    """selects the images"""


def write_embedded(root: Path, config: EmbeddedConfig | None = None) -> None:
    """Write root/train/<class>/*.png and the other sets; a finished data set is left as it is.

    They are root/biased/<class>, root/test/<set>/<class> and root/by-texture/{train,test}/<texture>.

    Raises:
        InputError: what is there was made with other settings.
    """
    config = config or EmbeddedConfig()
    marker = root / "embedded.json"
    description = {"classes": list(CLASSES), "test_sets": list(TEST_SETS), **asdict(config)}
    if marker.exists():
        if read_json(marker, remedy=f"remove {root}") != description:
            raise InputError(
                f"{root} holds an embedded data set of other settings; remove it or choose another"
            )
        return
    per_class = {"train": config.train_per_class, "biased": config.biased_per_class}
    again = {"train": "train", "same": "test"}
    for name in ("train", "biased", *TEST_SETS):
        folder = root / name if name in per_class else root / "test" / name
        files = list(_draw_files(name, per_class.get(name, config.test_per_class), config))
        write_many([(folder / shape / file, image) for shape, _, file, image in files])
        if name in again:
            by_texture = root / "by-texture" / again[name]
            write_many([(by_texture / texture / file, image) for _, texture, file, image in files])
    write_json(marker, description)


def _draw_files(name: str, per_class: int, config: EmbeddedConfig) -> Iterator[tuple[str, str, str, bytes]]:
    """Draw every image of a set: its shape, its texture if that is a family of training, file and PNG."""
    for label, shape in enumerate(CLASSES):
        for number in range(per_class):
            image, texture = embedded_image(name, label, number, size=config.size, seed=config.seed)
            cue = f"-{CLASSES[texture]}{number}" if name == "cue-conflict" else ""
            yield shape, TEXTURES[texture], f"{shape}{number}{cue}.png", _encode_png(image)


def embedded_image(name: str, label: int, number: int, *, size: int, seed: int) -> tuple[Image, int]:
    """Draw a uint8 (size, size, 3) image of a set; also returns the family of its figure, -1 for none."""
    if name in CORRUPTED_SETS:
        image, texture = embedded_image("same", label, number, size=size, seed=seed)
        constants: Constants = "cifar-c" if size <= SMALL else "imagenet-c"
        if name == "blur":
            return _blur(image, BLUR_SIGMA.of(constants)[SEVERITY - 1]), texture
        draws = Draws(generator(seed, _stream(name), label, number))
        corrupted = corrupt(image, CORRUPTED_SETS[name], severity=SEVERITY, draws=draws, constants=constants)
        return corrupted, texture
    rng = generator(seed, _stream(name), label, number)
    outlines = _draw_outlines(label, rng)
    if name == "silhouettes":
        return _paint_black(fill(outlines, size)), -1
    if name == "line-drawings":
        return _paint_black(draw(outlines, size, width=size / 40)), -1
    family, texture = draw_family(name, label, rng)
    figure = pattern(family, size, rng, contrast=FIGURE_CONTRAST)
    ground = pattern(FAMILIES[rng.integers(len(FAMILIES))], size, rng, contrast=GROUND_CONTRAST)
    dark, light = LIGHTEST_FIGURE * figure, DARKEST_GROUND + (1 - DARKEST_GROUND) * ground
    mask = fill(outlines, size)[..., None]
    return np.round(255 * (mask * dark + (1 - mask) * light)).astype(np.uint8), texture


def _stream(name: str) -> Stream:
    return Stream[f"TOY_{name.replace('-', '_').upper()}"]


def _draw_outlines(label: int, rng: np.random.Generator) -> list[Outline]:
    return transform(
        SHAPES[CLASSES[label]](),
        angle=rng.uniform(-0.35, 0.35),
        scale=rng.uniform(0.32, 0.44),
        shift=(0.5 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.1, 0.1)),
    )


def draw_family(name: str, label: int, rng: np.random.Generator) -> tuple[Family, int]:
    """Draw the texture family of one figure and its number, which is that of its class; -1 for none."""
    if name == "new-textures":
        return UNSEEN_FAMILIES[rng.integers(len(UNSEEN_FAMILIES))], -1
    texture = int(rng.integers(len(FAMILIES)))
    if name in ("cue-conflict", "biased"):
        texture = (label + 1 + int(rng.integers(len(CLASSES) - 1))) % len(CLASSES)
    if name == "biased" and rng.uniform() < CORRELATION:
        texture = label
    return FAMILIES[texture], texture


def _paint_black(mask: npt.NDArray[np.float32]) -> Image:
    grey = np.round(255 * (1 - mask)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _blur(image: Image, sigma: float) -> Image:
    """The corruption `gaussian_blur` with OpenCV's rounding, on which the bytes of this data set depend."""
    side = 2 * int(4 * sigma + 0.5) + 1
    x = cv2.GaussianBlur(image / 255.0, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
    return to_bytes(np.asarray(x))


def _encode_png(image: Image) -> bytes:
    return bytes(cv2.imencode(".png", image[..., ::-1])[1])
