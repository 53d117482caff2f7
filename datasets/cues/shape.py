"""Shape cues: line drawings, silhouettes, and silhouettes filled with the texture of another class.

Lines black on white, so that colour and texture tell nothing. Lengths in pixels are those of a picture of
224 px and grow and shrink with it.

Shapes: S side of the picture.
"""

import cv2
import numpy as np
import numpy.typing as npt

from texneg.datasets.decode import Pixels

Mask = npt.NDArray[np.bool_]

SIDE = 224  # px, of the pictures that lengths are stated for
FLATTEN_SPACE, FLATTEN_COLOUR = 8, 20  # mean shift: reach in px, and in steps of a colour
BLUR = 2.0  # px
STRONG = 0.92  # quantile of the gradient from which a line begins
WIDTH = 2.0  # px of a line
WEAK = 0.4  # share of that gradient as far as which it is followed
FAINTEST = 20.0  # gradient below which there is no line
SHORTEST = 20  # px of a line
MARGIN = 4  # px along an outline in which no other line is drawn


def draw_edges(pixels: Pixels, mask: Mask | None = None) -> Pixels:
    """Draw the outlines and inner lines of a picture.

    Mean shift (Comaniciu, Meer, PAMI 2002) flattens texture and keeps contours; then Canny's edges (PAMI
    1986) of the Lab channel that changes most at each pixel, with thresholds from the picture itself; lines
    of a few pixels are left out. With a mask: the outline of the object and the lines inside it, nothing of
    its surroundings.

    Args:
        pixels: uint8 (S, S, 3).
        mask: (S, S) of the object.
    """
    unit = len(pixels) / SIDE
    flat = cv2.pyrMeanShiftFiltering(pixels, FLATTEN_SPACE * unit, FLATTEN_COLOUR)
    lab = cv2.cvtColor(cv2.GaussianBlur(flat, (0, 0), BLUR * unit), cv2.COLOR_RGB2LAB)
    across, down = cv2.Sobel(lab, cv2.CV_16S, 1, 0), cv2.Sobel(lab, cv2.CV_16S, 0, 1)
    steep = np.hypot(across.astype(np.float32), down.astype(np.float32))
    channel = steep.argmax(2)[..., None]
    seen = steep.max(2) if mask is None else steep.max(2)[mask]
    strong = max(float(np.quantile(seen, STRONG)), FAINTEST)
    found = cv2.Canny(
        np.take_along_axis(across, channel, 2)[..., 0],
        np.take_along_axis(down, channel, 2)[..., 0],
        WEAK * strong,
        strong,
        L2gradient=True,
    )
    if mask is not None:
        found[~shrink(mask, max(1, round(MARGIN * unit)))] = 0
    _, lines, about, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    long = about[:, cv2.CC_STAT_AREA] >= SHORTEST * unit
    long[0] = False  # the background
    width = max(1, round(WIDTH * unit))
    drawn = cv2.dilate(long[lines].astype(np.uint8), np.ones((width, width), np.uint8)) > 0
    return paint_black(drawn if mask is None else drawn | find_outline(mask))


def shrink(mask: Mask, reach: int) -> Mask:
    """Take so many pixels away along the border of a mask; beyond the picture there is nothing."""
    padded = np.pad(mask.astype(np.uint8), reach)
    shrunk = cv2.erode(padded, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return np.asarray(shrunk[reach:-reach, reach:-reach] > 0)


def find_outline(mask: Mask) -> Mask:
    """Find the outermost pixels of a mask (S, S), as wide as a line is drawn."""
    return mask & ~shrink(mask, max(1, round(WIDTH * len(mask) / SIDE)))


def paint_black(mask: Mask) -> Pixels:
    """Paint a mask black on white: uint8 (S, S, 3)."""
    return np.repeat(np.where(mask, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def fill_shape(texture: Pixels, mask: Mask) -> Pixels:
    """Show a texture (S, S, 3) inside a mask (S, S), a black outline around it, and white outside.

    Without the outline a bright texture would leave no shape to see.
    """
    filled = np.where(mask[..., None], texture, np.uint8(255))
    filled[find_outline(mask)] = 0
    return filled
