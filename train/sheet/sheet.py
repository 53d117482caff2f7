"""`texneg sheet`: images beside their negatives, to be looked at before any figure is believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.datasets.decode import DecodeError, Pixels
from texneg.datasets.encode import encode
from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.pairs import open_textures_beside
from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.places import parse_place, require_folder
from texneg.datasets.stored import Array, describe_pixels
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.synth.preview import Preview, preview_textures
from texneg.train.data.splits import report_inputs
from texneg.train.negatives import KINDS, Negatives, Patch, Texture
from texneg.train.options import parse_option
from texneg.train.sheet.figures import read_figures
from texneg.train.sheet.page import Box, Strip, cut_square, describe_shown, fit_whole, lay_out, show_pictures

DEFAULT = ("patch", "texture")
SQUARES = "negatives are made of the centre square of the image"
BOXES = "boxes: centre (red) and random (blue) patch of the texture; other " + SQUARES


@dataclass(frozen=True)
class SheetConfig:
    """Contact sheet: images and, column by column, their negatives of each kind."""

    src: Positional[str]
    """Class-folder tree, flat folder of images, folder of .tar shards, or one .tar."""
    out: str
    """The PNG to write."""
    kinds: tuple[str, ...] = DEFAULT
    """Columns after the image: patch, patch_permutation, texture, texture_live; options follow a colon
    (patch:paper, patch:no-overlap, patch:size=8-24,flip,rotate, texture_live:method=quality); kinds joined by
    + are a mixture (patch+texture_live)."""
    textures: str | None = None
    """Output of texneg synth on the same images. Default: those in the same tars as the images (texneg synth
    --layout paired), else made now."""
    split: str | None = None
    """Split to show: train, val, validation or test, where the data has them."""
    count: int = 12
    """Images shown."""
    size: int = 224
    """Side of each picture, px."""
    exemplar_size: int | None = None
    """Side of the two patches a texture is made of, px; with --textures that run's. Default: as synth."""
    figures: str | None = None
    """Result of texneg audit, audit.json or its folder: tell, leak and time stand below each title."""
    as_stored: bool = False
    """Take images with all channels and their depth (TIFF, .npy, PNG), in place of RGB of 8 bits."""
    seed: int = 0
    """Chooses the images, and draws the negatives that are made here."""


def sheet(config: SheetConfig) -> int:
    """Write a contact sheet.

    Raises:
        InputError: no images, no textures, nothing that can be decoded, a value out of its range.
    """
    write_sheet(config, read_columns(config))
    return 0


def write_sheet(config: SheetConfig, columns: Sequence[Negatives]) -> None:
    """Write a contact sheet with these columns in place of the configuration's `kinds`."""
    images = open_images(config.src, config.split, stored=config.as_stored)
    report_inputs(images)
    preview = None
    if any(column.need_textures for column in columns):
        preview = preview_textures(
            images,
            open_textures(config, images),
            config.textures or config.src,
            seed=config.seed,
            exemplar_size=config.exemplar_size,
        )
    picture, note = contact_sheet(
        images,
        columns,
        preview,
        count=config.count,
        seed=config.seed,
        side=config.size,
        figures=read_figures(config.figures) if config.figures else None,
    )
    write_bytes(config.out, encode(picture, "png"))
    console.out(f"{config.out}: {picture.shape[1]} x {picture.shape[0]} px{f'; {note}' if note else ''}")


def read_columns(config: SheetConfig) -> list[Negatives]:
    """Read the negatives of each column.

    Raises:
        InputError: naming the flag and what it may be.
    """
    if config.count < 1 or not 16 <= config.size <= 1024:
        raise InputError(
            f"--count {config.count} --size {config.size}: allowed is 1 or more, and 16 to 1024 px"
        )
    if not config.kinds:
        raise InputError(f"--kinds: name one or more of {', '.join(kind.name for kind in KINDS)}")
    if not config.out.lower().endswith(".png"):
        raise InputError(f"--out {config.out}: the sheet is a PNG; give a name that ends in .png")
    require_folder(parse_place(config.out).parent, "--out")
    columns = []
    for text in config.kinds:
        column = Negatives.of(*(parse_option(KINDS, one, "--kinds") for one in text.split("+")))
        if column.need_textures and len(column.kinds) > 1:
            raise InputError(f"--kinds {text}: textures from files have a column of their own")
        try:
            column.check(config.size)
        except InputError as error:
            raise InputError(f"--kinds {text}: {str(error).replace('--image-size', '--size')}") from error
        columns.append(column)
    return columns


def open_textures(config: SheetConfig, images: ImageSet) -> ImageSet | None:
    """Open textures made before: those of `--textures`, or those beside the images in their tars."""
    if config.textures is None:
        return open_textures_beside(images, config.src, config.split)
    of_split = config.split is not None and (parse_place(config.textures) / config.split).is_dir()
    return open_images(
        config.textures, config.split if of_split else None, textures=True, stored=images.stored
    )


def contact_sheet(
    images: ImageSet,
    columns: Sequence[Negatives] = (Negatives.of(Patch()), Negatives.of(Texture())),
    preview: Preview | None = None,
    *,
    count: int = 12,
    seed: int = 0,
    side: int = 224,
    figures: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Pixels, str]:
    """Draw strips of an image and its negatives of each kind; the exemplars of its texture are boxed.

    All kinds but textures from files are made of the centre square, resized to the picture.

    Args:
        images: to choose from; those that cannot be used are left out.
        columns: the negatives after the image.
        preview: the textures, for columns that need them.
        count: images shown, fewer where there are not as many.
        seed: chooses the images, and draws the negatives that are made here.
        side: of each picture, px.
        figures: of an audit, by the title of a kind; shown below the titles.

    Returns:
        (H, W, 3) uint8, and what is shown of images that have other channels or another depth than it.

    Raises:
        InputError: none of the images can be shown, or their depths or channels differ.
    """
    strips: list[Strip] = []
    wanted, note = "", ""
    for i in generator(seed).permutation(len(images)).tolist():
        if len(strips) == count:
            break
        if preview is not None and not preview.has(i):
            continue
        try:
            pixels = images.pixels_of(i, upright=preview is not None and preview.upright)
            pictures = pictures_of(pixels, i, columns, preview, seed, side)
        except DecodeError:
            continue
        found = describe_pixels(pixels)
        if wanted not in ("", found):
            raise InputError(
                f"{images.full_name(i)} of {images.root} is {found}, and {strips[0].name} is {wanted}:"
                " give images of one depth and number of channels"
            )
        wanted, note = found, describe_shown(pixels)
        strips.append(Strip(images.keys[i], pictures))
    if not strips:
        raise InputError(
            f"none of the {len(images)} images of {images.root} can be shown: unreadable or too small"
        )
    titles = [("image",), *((c.title, " + ".join(kind.name for kind, _ in c.kinds)) for c in columns)]
    measured = [()] + [figures.get(c.title, ()) for c in columns] if figures else ()
    legend = BOXES if preview else SQUARES
    return lay_out(strips, titles, (f"{note}; {legend}", note) if note else (legend,), measured), note


def pictures_of(
    pixels: Array, i: int, columns: Sequence[Negatives], preview: Preview | None, seed: int, side: int
) -> list[Pixels]:
    """Make the pictures of one strip: the image, then each column."""
    image, texture = pixels, None
    boxes: list[Box] = []
    if preview is not None:
        image, boxes, made = preview.show(i, pixels, side)
        texture = cut_square(made, side)
    view = cut_square(pixels, side)[None]
    negatives = []
    for column in columns:
        if column.need_textures:
            assert texture is not None
            negatives.append(texture)
        else:
            negatives.append(column.make(view, seed=seed, epoch=0, index=[i])[0, 0])
    if any(describe_pixels(one) != describe_pixels(pixels) for one in negatives):
        raise InputError(
            f"textures of {describe_pixels(negatives[0])} beside images of {describe_pixels(pixels)}: make"
            " them with texneg synth --encoding tiff or npy"
        )
    shown, *others = show_pictures([image, *negatives])
    return [fit_whole(shown, side, boxes), *others]
