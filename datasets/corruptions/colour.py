"""HSV there and back, with saturation and value changed on the way."""

from typing import Any

import numpy as np

from texneg.datasets.corruptions.severities import Image
from texneg.jit import compiled


def shift_hsv(image: Image, factor: float, saturation: float, value: float) -> Image:
    """Multiply the saturation by `factor`, add to saturation and value, clip both to 0 ... 1."""
    out = np.empty_like(image)
    _shift_hsv(image.reshape(-1, 3), factor, saturation, value, out.reshape(-1, 3))
    return out


@compiled(error_model="numpy")
def _shift_hsv(image: Any, factor: float, saturation: float, value: float, out: Any) -> None:
    for i in range(image.shape[0]):
        r, g, b = image[i, 0] / 255.0, image[i, 1] / 255.0, image[i, 2] / 255.0
        v = max(r, g, b)
        delta = v - min(r, g, b)
        h, s = 0.0, 0.0
        if delta > 0:
            s = delta / v
            if b == v:
                h = 4.0 + (r - g) / delta
            elif g == v:
                h = 2.0 + (b - r) / delta
            else:
                h = (g - b) / delta
            h = (h / 6.0) % 1.0
        s = min(max(s * factor + saturation, 0.0), 1.0)
        v = min(max(v + value, 0.0), 1.0)
        sector = np.floor(h * 6.0)
        f = h * 6.0 - sector
        p, q, t = v * (1 - s), v * (1 - f * s), v * (1 - (1 - f) * s)
        k = int(sector) % 6
        if k == 0:
            r, g, b = v, t, p
        elif k == 1:
            r, g, b = q, v, p
        elif k == 2:
            r, g, b = p, v, t
        elif k == 3:
            r, g, b = p, q, v
        elif k == 4:
            r, g, b = t, p, v
        else:
            r, g, b = v, p, q
        out[i, 0] = np.uint8(min(max(r, 0.0), 1.0) * 255)
        out[i, 1] = np.uint8(min(max(g, 0.0), 1.0) * 255)
        out[i, 2] = np.uint8(min(max(b, 0.0), 1.0) * 255)
