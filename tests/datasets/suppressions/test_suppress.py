"""Every suppression beside a straight float64 version, its limits, and what decides its pixels."""

import math

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from texneg.datasets.suppressions.frequency import OCTAVES, exists
from texneg.datasets.suppressions.patches import require_grid
from texneg.datasets.suppressions.smoothing import scale
from texneg.datasets.suppressions.suppress import SUPPRESSIONS, suppress
from texneg.datasets.suppressions.watermark import letters
from texneg.datasets.suppressions.weights import decay
from texneg.errors import InputError
from texneg.philox.arrays import generator

Image = npt.NDArray[np.uint8]
CASES = [(name, strength) for name, one in SUPPRESSIONS.items() for strength in one.strengths]


def photograph(side: int) -> Image:
    coarse = generator(1, side).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).astype(int)
    grain = generator(2).integers(-9, 9, (side, side, 3))
    return (smooth + grain).clip(0, 255).astype(np.uint8)


def change(name: str, image: Image, strength: float, *draw: int) -> Image:
    return SUPPRESSIONS[name].change(image, strength, generator(*draw))


def reflect(image: npt.NDArray[np.float64], border: int) -> npt.NDArray[np.float64]:
    return np.pad(image, [(border, border), (border, border), (0, 0)], mode="reflect")


def assert_close(ours: Image, expected: npt.NDArray[np.float64]) -> None:
    """Within half a level of the exact value, and a hundredth for sums of single precision."""
    assert np.abs(ours - expected.clip(0, 255)).max() <= 0.51


@pytest.mark.parametrize("name", SUPPRESSIONS)
def test_strength_zero_changes_nothing(name: str) -> None:
    image = photograph(40)
    kept = image.copy()
    np.testing.assert_array_equal(change(name, image, 0, 3), image)
    for strength in SUPPRESSIONS[name].strengths:
        change(name, image, strength, 3)
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize(("name", "strength"), CASES)
def test_seed_suppression_and_key_decide_alone(name: str, strength: float) -> None:
    image = np.asfortranarray(photograph(46))

    def make(key: str, seed: int = 0) -> Image:
        return suppress(image, [(name, strength)], seed=seed, key=key)

    first = make("a/1")
    assert first.shape == image.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(make("a/1"), first)
    drawn = name in ("patch_shuffle", "patch_rotation", "channel_shuffle", "patches")
    others = [make(f"a/{i}") for i in range(8)] + [make("a/1", seed=i) for i in range(1, 9)]
    assert any((other != first).any() for other in others) == drawn


@pytest.mark.parametrize("name", SUPPRESSIONS)
def test_more_strength_takes_more_away(name: str) -> None:
    image = photograph(224)
    if name in ("octave", "patches", "patch_shuffle", "patch_rotation", "channel_shuffle"):
        return
    damage = [
        np.abs(change(name, image, s, 1) - image.astype(int)).mean() for s in SUPPRESSIONS[name].strengths
    ]
    assert damage == sorted(damage) and damage[0] > 0


@pytest.mark.parametrize("name", ["patch_shuffle", "patch_rotation"])
@pytest.mark.parametrize("grid", [2, 3, 7, 16, 41])
def test_every_pixel_is_kept_once(name: str, grid: int) -> None:
    """Squares change places or turn; the border that the grid leaves stays where it is."""
    side = 41
    places = np.arange(side * side)
    image = np.stack([places % 256, places // 256, np.zeros_like(places)], axis=1).astype(np.uint8)
    image = image.reshape(side, side, 3)
    made = change(name, image, grid, 5).astype(int)
    found = made[:, :, 0] + 256 * made[:, :, 1]
    np.testing.assert_array_equal(np.sort(found.ravel()), places)
    square = side // grid
    margin = (side - grid * square) // 2
    inner = slice(margin, margin + grid * square)
    outside = np.ones((side, side), bool)
    outside[inner, inner] = False
    np.testing.assert_array_equal(found[outside], places.reshape(side, side)[outside])
    rng = generator(5)
    cut = (
        image[inner, inner]
        .reshape(grid, square, grid, square, 3)
        .swapaxes(1, 2)
        .reshape(-1, square, square, 3)
    )
    if name == "patch_shuffle":
        cut = cut[rng.permutation(grid * grid)]
    else:
        cut = np.stack([np.rot90(p, k) for p, k in zip(cut, rng.integers(0, 4, grid * grid), strict=True)])
    whole = cut.reshape(grid, grid, square, square, 3).swapaxes(1, 2).reshape(grid * square, grid * square, 3)
    np.testing.assert_array_equal(made[inner, inner], whole)


def test_a_grid_finer_than_the_image_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^a grid of 16 x 16 squares needs images of 16 px or more; .* 12$"):
        require_grid(16, 12)
    with pytest.raises(InputError, match="grid of 16 x 16"):
        suppress(photograph(12), [("patch_rotation", 16)], seed=0, key="a")


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("kernel", SUPPRESSIONS["blur"].strengths)
def test_blur(side: int, kernel: int) -> None:
    image = photograph(side)
    radius, sigma = scale((kernel - 1) / 2, side, 1), (0.3 * ((kernel - 1) / 2 - 1) + 0.8) * side / 224
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    padded = reflect(image.astype(float), radius)
    down = sum(w * padded[i : i + side] for i, w in enumerate(weights))
    expected = sum(w * down[:, i : i + side] for i, w in enumerate(weights))
    ours = change("blur", image, kernel, 0)
    assert np.abs(ours - expected).max() <= 1.1  # OpenCV's weights have 8 bits
    if side == 224 and kernel > 7:  # below, OpenCV takes rounded kernels of its own
        np.testing.assert_array_equal(ours, cv2.GaussianBlur(image, (kernel, kernel), 0))


@pytest.mark.parametrize("side", [30, 224])
@pytest.mark.parametrize("diameter", SUPPRESSIONS["bilateral"].strengths)
def test_bilateral(side: int, diameter: int) -> None:
    image = photograph(side)
    x, spread = image.astype(float), 15 * diameter - 10
    radius = scale(diameter // 2, side, 1)
    padded, total, weights = reflect(x, radius), np.zeros_like(x), np.zeros((side, side, 1))
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if math.hypot(dy, dx) <= radius:
                other = padded[radius + dy :][:side, radius + dx :][:, :side]
                apart = np.abs(other - x).sum(2, keepdims=True)
                near = (dy * dy + dx * dx) * (224 / side) ** 2
                weight = np.exp(-near / (2 * spread**2) - apart**2 / (2 * spread**2))
                total, weights = total + weight * other, weights + weight
    ours = change("bilateral", image, diameter, 0)
    assert_close(ours, total / weights)
    if side == 224:
        assert np.abs(ours.astype(int) - cv2.bilateralFilter(image, diameter, spread, spread)).max() <= 1


@pytest.mark.parametrize("h", SUPPRESSIONS["non_local_means"].strengths)
def test_non_local_means(h: int) -> None:
    """Each pixel by itself, in Lab of 8 bit: lightness with its own weights, a and b with theirs."""
    side, image = 36, photograph(36)
    reach = scale(10, side, 2)
    lab = cv2.cvtColor(image, cv2.COLOR_LRGB2LAB)
    planes = reflect(lab.astype(float), reach + 3)
    expected = np.zeros_like(lab)
    for channels in ([0], [1, 2]):
        total, weights = np.zeros((side, side, len(channels))), np.zeros((side, side, 1))
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                here = planes[reach : reach + side + 6, reach : reach + side + 6][..., channels]
                there = planes[reach + dy :, reach + dx :][: side + 6, : side + 6][..., channels]
                squared = ((here - there) ** 2).sum(2)
                box = np.lib.stride_tricks.sliding_window_view(squared, (7, 7)).mean((2, 3))
                weight = np.exp(-box / (h * h * len(channels)))[..., None]
                total += weight * there[3 : side + 3, 3 : side + 3]
                weights += weight
        expected[..., channels] = (total / weights + 0.5).astype(np.uint8)
    ours = change("non_local_means", image, h, 0)
    straight = cv2.cvtColor(expected, cv2.COLOR_LAB2LRGB)
    differing = np.abs(ours.astype(int) - straight) > 0
    assert differing.mean() < 0.002  # a value at the edge of rounding


def test_non_local_means_of_opencv() -> None:
    image = photograph(224)
    theirs = cv2.fastNlMeansDenoisingColored(image[..., ::-1].copy(), None, 15, 15, 7, 21)[..., ::-1]
    assert np.abs(change("non_local_means", image, 15, 0) - theirs.astype(int)).mean() < 0.05


def test_weights_are_exponentials() -> None:
    for t in np.linspace(0, 30, 301, dtype=np.float32):
        assert abs(decay(t) - math.exp(-min(t, 16))) < 2e-5


@pytest.mark.parametrize("weight", SUPPRESSIONS["grey"].strengths)
def test_grey(weight: float) -> None:
    image = photograph(50)
    mean = image @ np.array([0.299, 0.587, 0.114])
    made = change("grey", image, weight, 0)
    assert_close(made, (1 - weight) * image + weight * mean[..., None])
    assert (np.ptp(made, axis=2) == 0).all() == (weight == 1)


def test_channels_are_exchanged_and_never_left() -> None:
    image = photograph(20)
    seen = {change("channel_shuffle", image, 1, i).tobytes() for i in range(60)}
    orders = [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    assert seen == {np.ascontiguousarray(image[..., order]).tobytes() for order in orders}


@pytest.mark.parametrize("side", [33, 64])
@pytest.mark.parametrize("octave", SUPPRESSIONS["octave"].strengths)
def test_octaves(side: int, octave: int) -> None:
    image = photograph(side)
    low, high = OCTAVES[octave - 1]
    along = np.fft.fftfreq(side) * side
    length = np.hypot(along, along[:, None])
    spectrum = np.fft.fft2(image.astype(float), axes=(0, 1))
    spectrum[(length > low) & (length <= high)] = 0
    assert_close(change("octave", image, octave, 0), np.fft.ifft2(spectrum, axes=(0, 1)).real)
    assert exists(octave, side) == (low < side / 2)


def test_watermark() -> None:
    image = photograph(96)
    mask = letters(96).astype(float)
    assert mask.min() == 0 and mask.max() == 1 and 0.02 < mask.mean() < 0.2
    for opacity in SUPPRESSIONS["watermark"].strengths:
        assert_close(
            change("watermark", image, opacity, 0), image + (255 - image) * opacity * mask[..., None]
        )
    assert (change("watermark", image, 1, 0)[mask == 1] == 255).all()


@pytest.mark.parametrize("side", SUPPRESSIONS["patches"].strengths)
def test_patches_alone_hold_nothing_else(side: int) -> None:
    """Each tile is a square of the image."""
    image = photograph(224)
    made = change("patches", image, side, 7)
    tile = made[:side, :side]
    windows = np.lib.stride_tricks.sliding_window_view(image[..., 0], (side, side))
    places = np.argwhere((windows[:, :, 0, 0] == tile[0, 0, 0]) & (windows[:, :, -1, -1] == tile[-1, -1, 0]))
    assert any((image[y : y + side, x : x + side] == tile).all() for y, x in places)


def test_bad_arguments_name_what_is_allowed() -> None:
    image = photograph(32)
    with pytest.raises(ValueError, match="patch_shuffle"):
        suppress(image, [("blurr", 1)], seed=0, key="a")
    with pytest.raises(ValueError, match=r"\(32, 30, 3\): .* crop a square"):
        suppress(image[:, :30], [("grey", 1)], seed=0, key="a")
