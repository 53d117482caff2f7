"""`texneg sheet`: images beside their negatives, to be looked at before any figure is believed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from texneg.datasets.atomic import write_bytes
from texneg.datasets.decode import DecodeError, Pixels
from texneg.datasets.encode import encode
from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.pairs import NONE, pair
from texneg.errors import InputError
from texneg.options import Positional
from texneg.patch import patch_negatives
from texneg.philox import generator
from texneg.synth.config import ledger_path
from texneg.synth.exemplars import Place, exemplar_places, exemplars
from texneg.synth.job import enlarged, image_seed, patch_size
from texneg.synth.ledger import Ledger
from texneg.synth.preflight import load_record
from texneg.synth.settings import Settings, Small
from texneg.synth.setup import prepare_process
from texneg.synth.texture import texture

GAP, HEADER, CAPTION, FOOTER = 8, 24, 20, 24  # px
PER_ROW = 2  # images side by side, each with its two negatives
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

CENTRE, RANDOM = (230, 60, 40), (40, 120, 230)  # colours of the two exemplars' boxes
TITLES = (("image", "patch negative", "texture negative"), ("image", "patch", "texture"))
LEGEND = "boxes: centre (red) and random (blue) patch of the texture"


@dataclass(frozen=True)
class SheetConfig:
    """Contact sheet: image with the two patches its texture is made of, patch negative, texture negative."""

    src: Positional[str]
    """Class-folder tree, flat folder of images, folder of .tar shards, or one .tar."""
    out: str
    """The PNG to write."""
    textures: str | None = None
    """Output of texneg synth on the same images. Default: make the textures now."""
    split: str | None = None
    """Which of train, val, validation and test, where the data has them."""
    count: int = 12
    """Images shown."""
    size: int = 224
    """Side of each picture, px."""
    patch: tuple[int, int] | None = None
    """Smallest and largest patch of the patch negative, px of the picture. Default: 16 and 72 at 224."""
    exemplar_size: int = 96
    """Side of the two patches a texture is made of, px; with --textures that run's is used."""
    seed: int = 0
    """Chooses the images, and without --textures the patches."""


def sheet(config: SheetConfig) -> int:
    """Write a contact sheet.

    Raises:
        InputError: no images, no textures, nothing that can be decoded, a value out of its range.
    """
    if config.count < 1 or not 16 <= config.size <= 1024:
        raise InputError(
            f"--count {config.count} --size {config.size}: allowed is 1 or more, and 16 to 1024 px"
        )
    if config.patch is not None and not 1 <= config.patch[0] <= config.patch[1] <= config.size:
        low, high = config.patch
        raise InputError(f"--patch {low} {high}: allowed is 1 to --size, {config.size} px, smallest first")
    if not config.out.lower().endswith(".png"):
        raise InputError(f"--out {config.out}: the sheet is a PNG; give a name that ends in .png")
    prepare_process()
    images = open_images(config.src, config.split)
    textures = open_images(config.textures, config.split) if config.textures else None
    made = _settings(config.textures)
    picture = contact_sheet(
        images,
        textures,
        count=config.count,
        seed=config.seed,
        texture_seed=made.seed if made else config.seed,
        side=config.size,
        patch_range=config.patch,
        exemplar_size=made.exemplar_size if made else config.exemplar_size,
        small=made.small if made else "shrink-patch",
    )
    write_bytes(config.out, encode(picture, "png"))
    print(f"{config.out}: {picture.shape[1]} x {picture.shape[0]} px")
    return 0


def _settings(textures: str | None) -> Settings | None:
    """Settings of the run that made the textures, if its ledger is beside them."""
    if textures is None or not ledger_path(textures).is_dir():
        return None
    return Settings(**load_record(Ledger(ledger_path(textures), Path(textures)))["settings"])


def contact_sheet(
    images: ImageSet,
    textures: ImageSet | None = None,
    *,
    count: int = 12,
    seed: int = 0,
    texture_seed: int = 0,
    side: int = 224,
    patch_range: tuple[int, int] | None = None,
    exemplar_size: int = 96,
    small: Small = "shrink-patch",
) -> npt.NDArray[np.uint8]:
    """Rows of image (with the two exemplars boxed), patch negative and texture negative.

    Args:
        images: to choose from; those that cannot be used are left out.
        textures: made from `images`; None synthesises them.
        count: images shown, fewer where there are not as many.
        seed: chooses the images.
        texture_seed: of the textures, for the boxes and for synthesis.
        side: of each picture, px.
        patch_range: smallest and largest patch of the patch negatives, px of the picture.
        exemplar_size: side of the exemplars, px.
        small: what was done with images smaller than an exemplar.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: none of the images can be shown.
    """
    partner = None if textures is None else pair(images, textures, allow_missing=True)
    triples: list[tuple[str, list[Pixels]]] = []
    for i in generator(seed).permutation(len(images)).tolist():
        if len(triples) == count:
            break
        if partner is not None and partner[i] == NONE:
            continue
        try:
            pixels, _ = images[i]
            patch, zoom = patch_size(*pixels.shape[:2], size=exemplar_size, small=small)
        except DecodeError:
            continue
        pixels = enlarged(pixels, zoom)
        appended = (
            partner is not None and textures is not None and textures.keys[partner[i]] == images.name(i)
        )
        own = image_seed(texture_seed, images.name(i) if appended else images.keys[i])
        places = exemplar_places(*pixels.shape[:2], size=patch, seed=own)
        if textures is None or partner is None:
            made = texture(exemplars(pixels, size=patch, seed=own), size=side, seed=own)
        else:
            made = _square(textures[int(partner[i])][0], side)
        view = _square(pixels, side)
        shuffled = np.asarray(patch_negatives(view[None], size=patch_range, seed=seed, index=[i]))[0, 0]
        triples.append((images.keys[i], [_boxed(pixels, places, patch, side), shuffled, made]))
    if not triples:
        raise InputError(
            f"none of the {len(images)} images of {images.root} can be shown: unreadable or too small"
        )
    return _laid_out(triples, side)


def _square(pixels: Pixels, side: int) -> Pixels:
    """Centre square, resized."""
    short = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - short) // 2, (pixels.shape[1] - short) // 2
    square = Image.fromarray(pixels[top : top + short, left : left + short])
    return np.array(square.resize((side, side), Image.Resampling.BICUBIC))


def _boxed(pixels: Pixels, places: tuple[Place, Place], patch: int, side: int) -> Pixels:
    """The whole image fitted into a white square, the exemplars outlined."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    fitted = Image.fromarray(pixels).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC
    )
    tile = Image.new("RGB", (side, side), "white")
    x0, y0 = (side - fitted.width) // 2, (side - fitted.height) // 2
    tile.paste(fitted, (x0, y0))
    draw = ImageDraw.Draw(tile)
    for (y, x), colour in zip(places, (CENTRE, RANDOM), strict=True):
        left, top, reach = x0 + x * scale, y0 + y * scale, max(0.0, patch * scale - 1)
        draw.rectangle((left, top, left + reach, top + reach), outline=colour, width=2)
    return np.array(tile)


def _laid_out(triples: list[tuple[str, list[Pixels]]], side: int) -> npt.NDArray[np.uint8]:
    columns = min(PER_ROW, len(triples))
    block, row = 3 * (side + GAP) + 2 * GAP, side + CAPTION + GAP
    rows = -(-len(triples) // columns)
    page = Image.new("RGB", (columns * block, HEADER + rows * row + FOOTER), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    for i, title in enumerate(_titles(side, font)):
        for column in range(columns):
            draw.text((column * block + GAP + i * (side + GAP), 5), title, "black", font)
    if font.getlength(LEGEND) <= page.width - 2 * GAP:
        draw.text((GAP, page.height - FOOTER), LEGEND, "black", font)
    for number, (key, pictures) in enumerate(triples):
        x, y = (number % columns) * block + GAP, HEADER + (number // columns) * row
        for i, pixels in enumerate(pictures):
            page.paste(Image.fromarray(pixels), (x + i * (side + GAP), y))
        draw.text((x, y + side + 2), _fitting(key, 3 * side, font), "black", font)
    return np.array(page)


def _titles(side: int, font: Font) -> tuple[str, ...]:
    """The longest titles that are no wider than the pictures below them, or none."""
    fitting = (titles for titles in TITLES if max(map(font.getlength, titles)) <= side)
    return next(fitting, ())


def _fitting(text: str, width: int, font: Font) -> str:
    """The end of a text that is not wider than `width` px."""
    while font.getlength(text) > width:
        text = f"…{text[2:]}"
    return text
