"""The picture of a contact sheet: pictures side by side under titles, the name of the image below them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from texneg.datasets.decode import Pixels
from texneg.datasets.stored import Array, resize
from texneg.textures.channels import compared

GAP, HEADER, CAPTION, FOOTER = 8, 24, 20, 24  # px; HEADER holds a line
STRETCHED = 1, 99  # percentiles of a picture of other depths that become black and white
ACROSS = 6  # pictures side by side at most, where an image has no more
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Box = tuple[int, int, int]  # row and column of the corner, side, px
COLOURS = (230, 60, 40), (40, 120, 230)  # of the boxes, in turn


@dataclass(frozen=True)
class Strip:
    """An image and its negatives."""

    name: str
    pictures: Sequence[Pixels]
    """Squares of the same side, uint8 (S, S, 3)."""


def lay_out(
    strips: Sequence[Strip],
    titles: Sequence[Sequence[str]],
    legends: Sequence[str] = (),
    figures: Sequence[Sequence[str]] = (),
) -> Pixels:
    """Draw all strips on one white page.

    Args:
        strips: one or more, each with as many pictures.
        titles: of each picture of a strip, longest wording first; the first that fits is shown, or none.
        legends: wordings of the line at the foot, longest first; the first that fits is shown, or none.
        figures: as `titles`, of a second line; none for no such line.

    Returns:
        (H, W, 3) uint8.
    """
    side, width = len(strips[0].pictures[0]), len(titles)
    columns = min(max(1, ACROSS // width), len(strips))
    block, row = width * (side + GAP) + 2 * GAP, side + CAPTION + GAP
    rows = -(-len(strips) // columns)
    header = HEADER + (CAPTION if figures else 0)
    page = Image.new("RGB", (columns * block, header + rows * row + FOOTER), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    for y, colour, line in ((5, "black", titles), (HEADER, "dimgray", figures)):
        for i, wordings in enumerate(line):
            text = next((text for text in wordings if font.getlength(text) <= side), "")
            for column in range(columns):
                draw.text((column * block + GAP + i * (side + GAP), y), text, colour, font)
    legend = next((text for text in legends if font.getlength(text) <= page.width - 2 * GAP), "")
    draw.text((GAP, page.height - FOOTER), legend, "black", font)
    for number, strip in enumerate(strips):
        x, y = (number % columns) * block + GAP, header + (number // columns) * row
        for i, pixels in enumerate(strip.pictures):
            page.paste(Image.fromarray(pixels), (x + i * (side + GAP), y))
        draw.text((x, y + side + 2), _shorten(strip.name, block - 4 * GAP, font), "black", font)
    return np.array(page)


def cut_square(pixels: Array, side: int) -> Array:
    """Cut out the centre square and resize it."""
    short = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - short) // 2, (pixels.shape[1] - short) // 2
    return resize(np.ascontiguousarray(pixels[top : top + short, left : left + short]), side, side)


def show_pictures(pictures: Sequence[Array]) -> list[Pixels]:
    """Pictures of one depth and number of channels as RGB of 8 bits, all on the scale of the first."""
    shown = [np.ascontiguousarray(picture) for picture in compared(list(pictures))]
    if pictures[0].dtype == np.uint8 and pictures[0].shape[2] in (1, 3):
        return shown
    low, high = np.percentile(shown[0], STRETCHED, axis=(0, 1), keepdims=True)
    if pictures[0].shape[2] == 3:  # one scale, so that colours stay
        low, high = low.min(), high.max()
    table = 255 / np.maximum(high - low, 1)
    return [np.rint((one - low) * table).clip(0, 255).astype(np.uint8) for one in shown]


def describe_shown(pixels: Array) -> str:
    """Say what of images is shown, where it is not their own RGB."""
    channels, depth = pixels.shape[2], pixels.dtype.name
    if channels == 3:
        return "" if depth == "uint8" else f"RGB of {depth}, stretched to 8 bits"
    if channels == 1:
        return f"grey of {depth}" if depth == "uint8" else f"grey of {depth}, stretched to 8 bits"
    return f"{channels} channels of {depth}: three principal components, stretched"


def fit_whole(pixels: Pixels, side: int, boxes: Sequence[Box] = ()) -> Pixels:
    """Fit the whole image into a white square and outline the boxes."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    fitted = Image.fromarray(pixels).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC
    )
    tile = Image.new("RGB", (side, side), "white")
    x0, y0 = (side - fitted.width) // 2, (side - fitted.height) // 2
    tile.paste(fitted, (x0, y0))
    draw = ImageDraw.Draw(tile)
    for i, (y, x, length) in enumerate(boxes):
        left, top, reach = x0 + x * scale, y0 + y * scale, max(0.0, length * scale - 1)
        draw.rectangle((left, top, left + reach, top + reach), outline=COLOURS[i % 2], width=2)
    return np.array(tile)


def _shorten(text: str, width: int, font: Font) -> str:
    """Shorten a text from the front until it is no wider than `width` px."""
    while font.getlength(text) > width:
        text = f"…{text[2:]}"
    return text
