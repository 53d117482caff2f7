"""`texneg sheet`: images beside their negatives, to be looked at before any figure is believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from texneg.cli.fields import Positional
from texneg.datasets.decode import DecodeError, Pixels, decode
from texneg.datasets.encode import encode
from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.pairs import open_beside
from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.places import place
from texneg.errors import InputError
from texneg.patches.plan import default_size, divisors
from texneg.philox.arrays import generator
from texneg.synth.config import ledger_path
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import load_record
from texneg.synth.plan.plan import Settings, Small
from texneg.synth.task.images import prepare_process
from texneg.train.sheet.columns import TITLES, Kind, Textures, functions
from texneg.train.sheet.page import Strip, laid_out, square, whole

DEFAULT: tuple[Kind, ...] = ("patch", "texture")
SQUARES = "negatives are made of the centre square of the image"
BOXES = "boxes: centre (red) and random (blue) patch of the texture; other " + SQUARES


@dataclass(frozen=True)
class SheetConfig:
    """Contact sheet: images and, column by column, their negatives of each kind."""

    src: Positional[str]
    """Class-folder tree, flat folder of images, folder of .tar shards, or one .tar."""
    out: str
    """The PNG to write."""
    kinds: tuple[Kind, ...] = DEFAULT
    """Columns after the image: patches at random places, on the paper's tiles, disjoint, permuted so that
    every pixel stays, flipped and rotated; the texture of the whole image; the live texture of the picture; a
    mixture of patch and live texture."""
    textures: str | None = None
    """Output of texneg synth on the same images. Default: those in the same tars as the images (texneg synth
    --layout paired), else made now."""
    split: str | None = None
    """Which of train, val, validation and test, where the data has them."""
    count: int = 12
    """Images shown."""
    size: int = 224
    """Side of each picture, px."""
    patch: tuple[int, int] | None = None
    """Smallest and largest patch of the patch negatives, px of the picture. Default: 16 and 72 at 224."""
    exemplar_size: int = 96
    """Side of the two patches a texture is made of, px; with --textures that run's is used."""
    seed: int = 0
    """Chooses the images, and draws the negatives that are made here."""


def sheet(config: SheetConfig) -> int:
    """Write a contact sheet.

    Raises:
        InputError: no images, no textures, nothing that can be decoded, a value out of its range.
    """
    check(config)
    prepare_process()
    images = open_images(config.src, config.split)
    textures = _textures(config, images)
    made = None if textures is None else _settings(config.textures or config.src)
    picture = contact_sheet(
        images,
        textures,
        kinds=config.kinds,
        count=config.count,
        seed=config.seed,
        texture_seed=made.seed if made else config.seed,
        side=config.size,
        patch_range=config.patch,
        exemplar_size=made.exemplar_size if made else config.exemplar_size,
        small=made.small if made else "shrink-patch",
        upright=made is not None and made.exif == "apply",
    )
    write_bytes(config.out, encode(picture, "png"))
    print(f"{config.out}: {picture.shape[1]} x {picture.shape[0]} px")
    return 0


def check(config: SheetConfig) -> None:
    """Refuse what cannot be drawn.

    Raises:
        InputError: naming the flag and what it may be.
    """
    if config.count < 1 or not 16 <= config.size <= 1024:
        raise InputError(
            f"--count {config.count} --size {config.size}: allowed is 1 or more, and 16 to 1024 px"
        )
    if not config.kinds:
        raise InputError(f"--kinds: name one or more of {', '.join(get_args(Kind))}")
    if config.patch is not None and not 1 <= config.patch[0] <= config.patch[1] <= config.size:
        low, high = config.patch
        raise InputError(f"--patch {low} {high}: allowed is 1 to --size, {config.size} px, smallest first")
    if "permutation" in config.kinds and not divisors(
        config.size, config.size, *(config.patch or default_size(config.size, config.size))
    ):
        raise InputError(
            f"--size {config.size}: no patch side in the range of --patch divides it, as a permutation needs"
        )
    if not config.out.lower().endswith(".png"):
        raise InputError(f"--out {config.out}: the sheet is a PNG; give a name that ends in .png")


def _textures(config: SheetConfig, images: ImageSet) -> ImageSet | None:
    """Textures made before: those of `--textures`, or those beside the images in their tars."""
    if config.textures is None:
        return open_beside(images, config.src, config.split)
    of_split = config.split is not None and (place(config.textures) / config.split).is_dir()
    return open_images(config.textures, config.split if of_split else None, textures=True)


def _settings(textures: str) -> Settings | None:
    """Settings of the run that made the textures, if its ledger is beside them."""
    if not ledger_path(textures).is_dir():
        return None
    return load_record(Ledger(ledger_path(textures), place(textures))).settings


def contact_sheet(
    images: ImageSet,
    textures: ImageSet | None = None,
    *,
    kinds: Sequence[Kind] = DEFAULT,
    count: int = 12,
    seed: int = 0,
    texture_seed: int = 0,
    side: int = 224,
    patch_range: tuple[int, int] | None = None,
    exemplar_size: int = 96,
    small: Small = "shrink-patch",
    upright: bool = False,
) -> Pixels:
    """Strips of an image and its negatives of each kind; beside a texture, its two exemplars are boxed.

    All kinds but `texture` are made of the centre square, resized to the picture.

    Args:
        images: to choose from; those that cannot be used are left out.
        textures: made from `images`; None synthesises them.
        kinds: the columns after the image.
        count: images shown, fewer where there are not as many.
        seed: chooses the images, and draws the negatives that are made here.
        texture_seed: of the textures, for the boxes and for synthesis.
        side: of each picture, px.
        patch_range: smallest and largest patch of the patch negatives, px of the picture.
        exemplar_size: side of the exemplars, px.
        small: what was done with images smaller than an exemplar.
        upright: turn the images as EXIF says, as it was done for the textures.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: none of the images can be shown.
    """
    offline = (
        Textures.of(images, textures, texture_seed, exemplar_size, small) if "texture" in kinds else None
    )
    made_by, columns = functions(patch_range), ("image", *kinds)
    strips: list[Strip] = []
    for i in generator(seed).permutation(len(images)).tolist():
        if len(strips) == count:
            break
        if offline is not None and not offline.has(i):
            continue
        try:
            pixels = decode(images.read(i), upright=upright).pixels
            pictures = (
                {"image": whole(pixels, side)} if offline is None else offline.pictures(i, pixels, side)
            )
        except DecodeError:
            continue
        view = square(pixels, side)[None]
        others = [kind for kind in kinds if kind not in pictures]
        pictures |= {kind: made_by[kind](view, seed=seed, index=[i])[0, 0] for kind in others}
        strips.append(Strip(images.keys[i], [pictures[column] for column in columns]))
    if not strips:
        raise InputError(
            f"none of the {len(images)} images of {images.root} can be shown: unreadable or too small"
        )
    return laid_out(strips, [TITLES[column] for column in columns], BOXES if offline else SQUARES)
