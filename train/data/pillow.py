"""One augmented view by torchvision's functions on Pillow images, 8 bits between operators.

This is the pipeline of the official loaders (torchvision v1 transforms, Pillow's blur and solarise) with our
parameters.
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from texneg.train.data.colours import ORDERS

THRESHOLD = 128
ADJUST = tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue
NEUTRAL = 1.0, 1.0, 1.0, 0.0


def augment_pillow(image: npt.NDArray[np.uint8], plan: npt.NDArray[np.float64], side: int) -> Image.Image:
    """Make one view of a uint8 (H, W, 3) image; `plan` is a row of `views.Plan`."""
    top, left, height, width = map(int, plan[:4])
    resize = InterpolationMode.BICUBIC if plan[13] else InterpolationMode.BILINEAR
    view = tv.resized_crop(Image.fromarray(image), top, left, height, width, [side, side], resize)
    for which in ORDERS[int(plan[9])]:
        factor = float(plan[5 + which])
        if factor != NEUTRAL[which]:
            view = ADJUST[which](view, factor)
    if plan[10]:
        view = tv.rgb_to_grayscale(view, num_output_channels=3)
    if plan[11] and math.isinf(plan[14]):
        view = view.filter(ImageFilter.GaussianBlur(float(plan[11])))
    elif plan[11]:
        view = tv.gaussian_blur(view, [2 * int(plan[14]) + 1] * 2, [float(plan[11])] * 2)
    if plan[12]:
        view = ImageOps.solarize(view, THRESHOLD)
    return tv.hflip(view) if plan[4] else view
