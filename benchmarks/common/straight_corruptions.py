"""Corruptions straight from their description, in NumPy and OpenCV: a rival in speed, a reference in tests.

Hendrycks and Dietterich, ICLR 2019. Like the official generator: float64 arrays for whole images, a random
number from the legacy stream when it is needed, and a Python loop over pixels in glass blur. Where that calls
SciPy or ImageMagick, NumPy does the same work here, in less time. An image is uint8 (H, H, 3), c a constant.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

Image = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
Legacy = np.random.RandomState


def finish(x: npt.NDArray[Any]) -> Image:
    """Scale 0 ... 1 to bytes, truncated."""
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


def gaussian(x: F64, sigma: float, *, truncate: float = 4.0, mode: Any = "edge") -> F64:
    """Gaussian filter of the first two axes, one after the other."""
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return x
    weights = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    weights = (weights / weights.sum())[radius:]
    for axis in (0, 1):
        padded = np.pad(x, [(radius, radius) if i == axis else (0, 0) for i in range(x.ndim)], mode)
        n, parts = x.shape[axis], np.moveaxis(padded, axis, 0)
        total = parts[radius : radius + n] * weights[0]
        for i in range(radius, 0, -1):
            total += (parts[radius - i : radius - i + n] + parts[radius + i : radius + i + n]) * weights[i]
        x = np.moveaxis(total, 0, axis)
    return x


def bilinear(x: npt.NDArray[Any], y: F64, z: F64) -> F64:
    """Samples of x at rows y and columns z, which lie inside."""
    y0, z0 = np.floor(y).astype(int), np.floor(z).astype(int)
    y1, z1 = np.minimum(y0 + 1, x.shape[0] - 1), np.minimum(z0 + 1, x.shape[1] - 1)
    a, b = (y - y0)[..., None], (z - z0)[..., None]
    upper = x[y0, z0] * (1 - a) * (1 - b) + x[y0, z1] * (1 - a) * b
    return upper + x[y1, z0] * a * (1 - b) + x[y1, z1] * a * b


def zoom(x: npt.NDArray[Any], factor: float) -> F64:
    """Enlarge the centre of (H, H, C), corner on corner, and trim."""
    side = x.shape[0]
    before = math.ceil(side / factor)
    after, top = round(before * factor), (side - before) // 2
    place = (np.arange(side) + (after - side) // 2) * ((before - 1) / (after - 1))
    centre = x[top : top + before, top : top + before]
    return bilinear(centre, *np.meshgrid(place, place, indexing="ij"))


def smear(x: Image, radius: int, sigma: float, degrees: float) -> Image:
    """Motion blur by ImageMagick's rule, of (H, H, C)."""
    i = np.arange(2 * radius + 1)
    weights = np.exp(-(i**2) / (2 * sigma**2))
    weights /= weights.sum()
    angle, at = math.radians(degrees), np.arange(x.shape[0])
    total = np.zeros(x.shape)
    for k, weight in enumerate(weights):
        rows = np.clip(at + math.ceil(k * math.sin(angle) - 0.5), 0, len(at) - 1)
        columns = np.clip(at + math.ceil(k * math.cos(angle) - 0.5), 0, len(at) - 1)
        total += weight * x[rows[:, None], columns]
    return (np.floor(total * 257 + 0.5) // 257).astype(np.uint8)


def to_hsv(x: F64) -> tuple[F64, F64, F64]:
    """Hue, saturation and value of RGB, each 0 ... 1."""
    r, g, b = np.moveaxis(x, 2, 0)
    v = x.max(2)
    delta = v - x.min(2)
    with np.errstate(divide="ignore", invalid="ignore"):
        h = np.where(g == v, 2 + (b - r) / delta, (g - b) / delta)
        h = np.where(b == v, 4 + (r - g) / delta, h) / 6 % 1
        s = delta / v
    return np.where(delta == 0, 0, h), np.where(delta == 0, 0, s), v


def to_rgb(h: F64, s: F64, v: F64) -> F64:
    """RGB of hue, saturation and value."""
    sector = np.floor(h * 6)
    f = h * 6 - sector
    p, q, t = v * (1 - s), v * (1 - f * s), v * (1 - (1 - f) * s)
    rows = ((v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q))
    channels = [[row[c] for row in rows] for c in range(3)]
    return np.stack([np.choose(sector.astype(int) % 6, channel) for channel in channels], 2)


def gaussian_noise(image: Image, c: Any, rng: Legacy) -> Image:
    return finish(image / 255 + rng.normal(size=image.shape, scale=c))


def shot_noise(image: Image, c: Any, rng: Legacy) -> Image:
    return finish(rng.poisson(image / 255 * c) / c)


def impulse_noise(image: Image, c: Any, rng: Legacy) -> Image:
    x = image / 255
    hit, salt = rng.uniform(size=x.shape) < c, rng.uniform(size=x.shape) < 0.5
    x[hit & salt] = 1
    x[hit & ~salt] = 0
    return finish(x)


def speckle_noise(image: Image, c: Any, rng: Legacy) -> Image:
    x = image / 255
    return finish(x + x * rng.normal(size=x.shape, scale=c))


def gaussian_blur(image: Image, c: Any, rng: Legacy) -> Image:
    return finish(gaussian(image / 255, c))


def defocus_blur(image: Image, c: Any, rng: Legacy) -> Image:
    radius, sigma = c
    reach, side = (8, 3) if radius <= 8 else (radius, 5)
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (i**2 + j**2 <= radius**2).astype(np.float32)
    disc = cv2.GaussianBlur(disc / disc.sum(), (side, side), sigma)
    return finish(np.stack([cv2.filter2D(image[..., k] / 255, -1, disc) for k in range(3)], 2))


def glass_blur(image: Image, c: Any, rng: Legacy) -> Image:
    sigma, reach, rounds = c
    x = finish(gaussian(image / 255, sigma))
    last = len(x) - reach
    for _ in range(rounds):
        for h in range(last, reach, -1):
            for w in range(last, reach, -1):
                across, along = rng.randint(-reach, reach, size=2)
                other = h + along, w + across
                x[h, w], x[other] = x[other], x[h, w]  # of views, so that it copies
    return finish(gaussian(x / 255, sigma))


def motion_blur(image: Image, c: Any, rng: Legacy) -> Image:
    radius, sigma = c
    return smear(image, radius, sigma, rng.uniform(-45, 45))


def zoom_blur(image: Image, c: Any, rng: Legacy) -> Image:
    x = (image / 255).astype(np.float32)
    factors, total = np.arange(1, *c), np.zeros_like(x)
    for factor in factors:
        total += zoom(x, factor).astype(np.float32)
    return finish((x + total) / (len(factors) + 1))


def snow(image: Image, c: Any, rng: Legacy) -> Image:
    mean, scale, factor, threshold, radius, sigma, mix = c
    layer = zoom(rng.normal(mean, scale, (*image.shape[:2], 1)), factor)
    layer[layer < threshold] = 0
    layer = smear(finish(layer), radius, sigma, rng.uniform(-135, -45)) / 255
    x = image.astype(np.float32) / 255
    grey = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None]
    return finish(mix * x + (1 - mix) * np.maximum(x, grey * 1.5 + 0.5) + layer + np.rot90(layer, 2))


def frost(image: Image, c: Any, rng: Legacy, pictures: Sequence[Image]) -> Image:
    weight, frost_weight, shrink = c
    picture = pictures[rng.randint(5)]
    if shrink != 1:
        picture = cv2.resize(picture, (0, 0), fx=shrink, fy=shrink)
    side = len(image)
    y, x = rng.randint(0, picture.shape[0] - side), rng.randint(0, picture.shape[1] - side)
    crop = picture[y : y + side, x : x + side]
    return np.clip(weight * image + frost_weight * crop, 0, 255).astype(np.uint8)


def fog(image: Image, c: Any, rng: Legacy) -> Image:
    amount, decay = c
    side = {224: 256}.get(len(image), len(image))
    clouds, step, w = np.zeros((side, side)), side, 100.0

    def wobble(total: F64) -> F64:
        return total / 4 + w * rng.uniform(-w, w, total.shape)

    while step > 1:
        half = step // 2
        corners = clouds[::step, ::step]
        two = corners + np.roll(corners, -1, 0)
        centres = wobble(two + np.roll(two, -1, 1))
        clouds[half::step, half::step] = centres
        rows = wobble(centres + np.roll(centres, 1, 0) + (corners + np.roll(corners, -1, 1)))
        clouds[::step, half::step] = rows
        columns = wobble(centres + np.roll(centres, 1, 1) + (corners + np.roll(corners, -1, 0)))
        clouds[half::step, ::step] = columns
        step, w = half, w / decay
    clouds -= clouds.min()
    clouds /= clouds.max()
    x = image / 255
    brightest = x.max()
    x = x + amount * clouds[: len(image), : len(image), None]
    return finish(x * brightest / (brightest + amount))


def brightness(image: Image, c: Any, rng: Legacy) -> Image:
    h, s, v = to_hsv(image / 255)
    return finish(to_rgb(h, s, np.clip(v + c, 0, 1)))


def saturate(image: Image, c: Any, rng: Legacy) -> Image:
    h, s, v = to_hsv(image / 255)
    return finish(to_rgb(h, np.clip(s * c[0] + c[1], 0, 1), v))


def contrast(image: Image, c: Any, rng: Legacy) -> Image:
    x = image / 255
    mean = x.mean((0, 1))
    return finish((x - mean) * c + mean)


def elastic_transform(image: Image, c: Any, rng: Legacy) -> Image:
    strength, sigma, affine = c
    x, side = image.astype(np.float32) / 255, len(image)
    centre, arm = side // 2, side // 3
    points = centre + arm * np.array([[1, 1], [1, -1], [-1, -1]], np.float32)
    moved = points + rng.uniform(-affine, affine, (3, 2)).astype(np.float32)
    there = cv2.getAffineTransform(points, moved)
    x = cv2.warpAffine(x, there, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    fields = []
    for _ in range(2):
        field = rng.uniform(-1, 1, (side, side))
        if sigma:
            field = reflected_gaussian(side, sigma) @ field @ reflected_gaussian(side, sigma).T
        fields.append((field * strength).astype(np.float32))
    y, z = np.mgrid[:side, :side]
    places = [(a + 0.5) % (2 * side) for a in (y + fields[1].astype(float), z + fields[0].astype(float))]
    inside = [np.clip(np.where(a < side, a, 2 * side - a) - 0.5, 0, side - 1) for a in places]
    return finish(bilinear(x, *inside).astype(np.float32))


@cache
def reflected_gaussian(side: int, sigma: float) -> F64:
    """The matrix (H, H) of a Gaussian of radius 3 sigma with half-sample reflection."""
    radius = int(3 * sigma + 0.5)
    i = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (i / sigma) ** 2)
    columns = np.pad(np.arange(side), radius, "symmetric")
    matrix = np.zeros((side, side))
    for k, weight in enumerate(weights / weights.sum()):
        np.add.at(matrix, (np.arange(side), columns[k : k + side]), weight)
    return matrix


def pixelate(image: Image, c: Any, rng: Legacy) -> Image:
    side = len(image)
    small = PillowImage.fromarray(image).resize((int(side * c), int(side * c)), PillowImage.Resampling.BOX)
    return np.asarray(small.resize((side, side), PillowImage.Resampling.BOX))


def jpeg_compression(image: Image, c: Any, rng: Legacy) -> Image:
    buffer = BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=c)
    return np.asarray(PillowImage.open(buffer))


def spatter(image: Image, c: Any, rng: Legacy) -> Image:
    mean, scale, sigma, threshold, strength, mud = c
    layer = gaussian(rng.normal(mean, scale, image.shape[:2]), sigma)
    layer[layer < threshold] = 0
    x = image.astype(np.float32) / 255
    if mud:
        cover = gaussian(np.where(layer > threshold, 1.0, 0.0), strength)[..., None]
        cover[cover < 0.8] = 0
        return finish(x * (1 - cover) + cover * np.array([63, 42, 20]) / 255)
    drops = (layer * 255).astype(int).astype(np.uint8)
    distance = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.equalizeHist(cv2.blur(np.minimum(distance, 20), (3, 3)).astype(np.uint8))
    shaded = cv2.filter2D(distance, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    weight = drops.astype(np.float32) * cv2.blur(shaded, (3, 3)).astype(np.float32)
    weight = weight / weight.max() * strength
    return finish(x + weight[..., None] * np.array([175, 238, 238]) / 255)


STRAIGHT: dict[str, Callable[[Image, Any, Legacy], Image]] = {
    function.__name__: function
    for function in (
        gaussian_noise, shot_noise, impulse_noise, defocus_blur, glass_blur, motion_blur, zoom_blur, snow,
        fog, brightness, contrast, elastic_transform, pixelate, jpeg_compression, speckle_noise,
        gaussian_blur, spatter, saturate,
    )
}  # fmt: skip
"""All but `frost`, which also takes pictures."""
