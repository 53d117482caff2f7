"""Behaviour of the corruptions apart from the published outputs."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from texneg.datasets.corruptions.corrupt import ALL, CORRUPTIONS, corrupt
from texneg.datasets.corruptions.digital import encode_jpeg, reencode, smooth_fields
from texneg.datasets.corruptions.draws import Draws, LegacyDraws, image_draws
from texneg.datasets.corruptions.pictures import own_pictures, read_pictures
from texneg.datasets.corruptions.severities import nearest_constants
from texneg.datasets.decode import decode
from texneg.datasets.toy.embedded import embedded_image
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream

Image = npt.NDArray[np.uint8]


def photograph(side: int) -> Image:
    coarse = generator(1, side).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).astype(int)
    grain = generator(2).integers(-9, 9, (side, side, 3))
    return (smooth + grain).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", sorted(ALL))
def test_severity_orders_the_damage(name: str) -> None:
    image = photograph(48)
    kept = image.copy()
    weak, strong = (
        corrupt(image, name, severity=s, draws=image_draws(0, name, s, "a")).astype(int) for s in (1, 5)
    )
    weak_damage, damage = np.abs(weak - image).mean(), np.abs(strong - image).mean()
    assert weak_damage > 0 and damage > 0
    assert weak_damage < damage or name in ("elastic_transform", "saturate")  # published as they are
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("name", sorted(ALL))
def test_any_side_and_any_layout_of_the_memory(name: str) -> None:
    image = np.asfortranarray(photograph(45))
    for severity in (1, 2, 5):
        out = corrupt(image, name, severity=severity, draws=image_draws(0, name, severity, "a"))
        assert out.shape == image.shape and out.dtype == np.uint8 and out.flags.c_contiguous


@pytest.mark.parametrize("name", sorted(ALL))
def test_key_corruption_and_severity_decide_alone(name: str) -> None:
    image = photograph(32)

    def make(key: str, seed: int = 0) -> bytes:
        return corrupt(image, name, severity=3, draws=image_draws(seed, name, 3, key)).tobytes()

    first, other = make("a/1"), make("a/2")
    assert make("a/1") == first
    drawless = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"}
    assert (other == first) == (name in drawless | {"gaussian_blur", "saturate"})
    assert (make("a/1", seed=1) == first) == (other == first)


def test_bad_arguments_name_what_is_allowed() -> None:
    image, draws = np.zeros((32, 32, 3), np.uint8), Draws(generator(0))
    with pytest.raises(ValueError, match="gaussian_noise"):
        corrupt(image, "rain", severity=1, draws=draws)
    with pytest.raises(ValueError, match="1, 2, 3, 4, 5"):
        corrupt(image, "contrast", severity=6, draws=draws)
    with pytest.raises(ValueError, match=r"\(32, 30, 3\): .* crop a square"):
        corrupt(image[:, :30], "contrast", severity=1, draws=draws)


def test_the_fifteen_of_mce_and_the_nearest_published_size() -> None:
    assert len(CORRUPTIONS) == 15 and len(ALL) == 19
    assert [nearest_constants(side) for side in (28, 32, 45, 46, 64, 96, 128, 224, 299)] == [
        *["cifar-c"] * 3, *["tiny-imagenet-c"] * 3, *["imagenet-c"] * 3,
    ]  # fmt: skip
    image = photograph(32)
    named = corrupt(image, "pixelate", severity=5, draws=Draws(generator(0)), constants="imagenet-c")
    assert (named != corrupt(image, "pixelate", severity=5, draws=Draws(generator(0)))).any()


@pytest.mark.parametrize("rate", [3.0, 60.0, 500.0])
def test_photons_follow_poisson(rate: float) -> None:
    for level in (0, 3, 128, 255):
        image = np.full((200, 200, 3), level, np.uint8)
        mean = level / 255 * rate
        ours = Draws(generator(3, level)).photons(image, rate)
        legacy = LegacyDraws(np.random.RandomState(level)).photons(image, rate)
        for drawn in (ours, legacy):
            sd = np.sqrt(mean / drawn.size)
            assert abs(drawn.mean() - mean) <= 5 * sd
            assert abs(drawn.var() - mean) <= 0.03 * mean
        if level:
            edges = np.unique(np.quantile(legacy, np.linspace(0, 1, 12)))
            mine, theirs = (np.histogram(drawn, edges)[0] for drawn in (ours, legacy))
            assert (np.abs(mine - theirs) < 6 * np.sqrt(theirs + mine + 1)).all()


def test_fields_are_smoothed_as_by_a_reflected_kernel() -> None:
    for side, sigma in ((9, 1.0), (16, 40.0), (33, 2.4)):
        fields = generator(side).normal(size=(2, side, side))
        radius = int(3 * sigma + 0.5)
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        kernel /= kernel.sum()
        padded = np.pad(fields, [(0, 0), (radius, radius), (radius, radius)], mode="symmetric")
        down = sum(w * padded[:, i : i + side] for i, w in enumerate(kernel))
        expected = sum(w * down[:, :, i : i + side] for i, w in enumerate(kernel))
        np.testing.assert_allclose(smooth_fields(fields, sigma), expected, atol=1e-12)


def test_frost_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"has no frost1\.png or \.jpg; give the folder frost of the package"
    ):
        read_pictures(str(tmp_path / "none"))
    for number in range(1, 6):
        picture = np.full((300, 280, 3), 10 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"frost{number}.png"), picture)
    image = np.zeros((224, 224, 3), np.uint8)
    draws = [
        image_draws(0, "frost", 1, str(i), pictures=lambda: read_pictures(str(tmp_path))) for i in range(30)
    ]
    values = {int(corrupt(image, "frost", severity=1, draws=draw).max()) for draw in draws}
    assert values == {4, 8, 12, 16, 20}
    with pytest.raises(InputError, match=r"280 x 300 px, too few for images of 280 px"):
        corrupt(np.zeros((280, 280, 3), np.uint8), "frost", severity=1, draws=draws[0])
    (tmp_path / "frost5.png").write_bytes(b"no picture")
    read_pictures.cache_clear()
    with pytest.raises(InputError, match=r"frost5\.png is no picture"):
        read_pictures(str(tmp_path))


def test_own_frost_is_bright_and_never_twice_the_same() -> None:
    pictures = [own_pictures().shrunk(number, 1) for number in range(5)]
    assert len({picture.tobytes() for picture in pictures}) == 5
    assert all(picture.std() > 15 and picture.mean() > 90 for picture in pictures)
    assert own_pictures().shrunk(0, 0.2).shape == (154, 154, 3)


def test_a_jpeg_has_the_pixels_of_its_file() -> None:
    image = photograph(48)
    for optimise in (False, True):
        file = encode_jpeg(image, 85, optimise=optimise)
        np.testing.assert_array_equal(decode(file).pixels, reencode(image, 85))


@pytest.mark.parametrize(("size", "constants"), [(64, (0.08, 0.7, 0.4, 0.85)), (96, (0.18, 3.0, 0.2, 0.4))])
def test_the_embedded_sets_keep_their_bytes(size: int, constants: tuple[float, ...]) -> None:
    scale, sigma, factor, share = constants
    for label in range(8):
        image, _ = embedded_image("same", label, 1, size=size, seed=0)
        x = image / 255.0
        side = 2 * int(4 * sigma + 0.5) + 1
        mean = x.mean(axis=(0, 1), keepdims=True)
        noise = generator(0, Stream.TOY_NOISE, label, 1).normal(size=x.shape, scale=scale)
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        expected = {
            "noise": x + noise,
            "blur": cv2.GaussianBlur(x, (side, side), sigma, borderType=cv2.BORDER_REPLICATE),
            "contrast": (x - mean) * factor + mean,
        }
        for name, values in expected.items():
            found, _ = embedded_image(name, label, 1, size=size, seed=0)
            np.testing.assert_array_equal(found, (np.clip(values, 0, 1) * 255).astype(np.uint8))
        found, _ = embedded_image("pixelate", label, 1, size=size, seed=0)
        assert len(np.unique(found.reshape(-1, 3), axis=0)) <= small.shape[0] * small.shape[1] * 4
