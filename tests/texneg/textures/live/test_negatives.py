"""`texture_negatives`: the promises of the call, for all kinds of images."""

import numpy as np
import pytest
import torch

from texneg.philox.arrays import fold
from texneg.philox.streams import Stream
from texneg.textures.exemplars import exemplar_places, exemplars
from texneg.textures.live.negatives import eight_bit_array, eight_bit_tensor, texture_negatives
from texneg.textures.live.plan import default_exemplar
from texneg.textures.presets import METHODS
from texneg.textures.texture import texture

ALL = ("live", *METHODS)


def pictures(N=3, height=40, width=48, seed=0):
    """(N, H, W, 3) uint8 with all of 0 ... 255 in each image."""
    images = np.random.default_rng(seed).integers(0, 256, (N, height, width, 3), dtype=np.uint8)
    images = np.sort(images, axis=2)
    images[:, 0, 0], images[:, 0, 1] = 0, 255
    return images


def bands(channels, dtype):
    """Images whose channels are mixtures of the three of a picture, with noise."""
    random = np.random.default_rng(channels)
    mixed = pictures(2) @ random.uniform(0.1, 1, (3, channels)) + random.normal(0, 4, (2, 40, 48, channels))
    mixed = mixed.clip(0, None)
    return (mixed * ((np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1) / mixed.max())).astype(dtype)


def channels_first(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 41), (41, 24), (96, 96)])
def test_every_pixel_is_a_pixel_of_an_exemplar(method, height, width):
    y, x = np.mgrid[:height, :width]
    images = np.stack([y, x, 0 * y], axis=-1).astype(np.uint8)[None]
    made = texture_negatives(images, count=2, seed=1, epoch=2, index=[9], method=method)
    side = default_exemplar(height, width)
    for k in range(2):
        corners = exemplar_places(height, width, size=side, seed=fold(1, 2, Stream.LIVE_TEXTURES, 9, k))
        inside = [
            (abs(made[0, k, ..., 0] - top - (side - 1) / 2) < side / 2)
            & (abs(made[0, k, ..., 1] - left - (side - 1) / 2) < side / 2)
            for top, left in corners
        ]
        assert (inside[0] | inside[1]).all()
        assert inside[0].any()
        assert inside[1].any()


@pytest.mark.parametrize("method", ALL)
def test_pixels_depend_on_nothing_but_image_seed_epoch_index_and_number(method):
    images, index = pictures(), [5, 0, 7]

    def make(images, index, **options):
        return texture_negatives(images, index=index, seed=3, epoch=4, method=method, **options)

    whole = make(images, index, count=2)
    for n in range(3):
        assert np.array_equal(whole[n : n + 1], make(images[n : n + 1], index[n : n + 1], count=2))
    assert np.array_equal(whole[::-1], make(images[::-1], index[::-1], count=2))
    assert np.array_equal(whole[:, :1], make(images, index))
    assert np.array_equal(whole, make(images, index, count=2, threads=3))
    assert np.array_equal(whole, make(images, torch.tensor(index), count=2))


def test_seed_epoch_index_and_number_all_matter():
    images = np.repeat(pictures(1), 2, axis=0)
    first = texture_negatives(images, count=2)
    made = [first[0, 0], first[0, 1], first[1, 0], *texture_negatives(images[:1], seed=1)[0]]
    made.append(texture_negatives(images[:1], epoch=1)[0, 0])
    assert len({one.tobytes() for one in made}) == len(made)
    assert np.array_equal(first, texture_negatives(images, count=2, index=np.arange(2)))


@pytest.mark.parametrize("method", ["live", "fast"])
def test_arrays_and_tensors_agree(method):
    images = pictures()
    made = texture_negatives(images, count=2, method=method)
    assert made.shape == (3, 2, 40, 48, 3)
    tensor = texture_negatives(channels_first(images), count=2, method=method)
    assert tensor.shape == (3, 2, 3, 40, 48)
    assert tensor.is_contiguous()
    assert np.array_equal(tensor.permute(0, 1, 3, 4, 2).numpy(), made)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_float_images_follow_the_map_of_their_bytes(dtype):
    images = channels_first(pictures())
    expected = texture_negatives(images).to(dtype)
    assert torch.equal(texture_negatives(images.to(dtype)), expected)
    if dtype != torch.bfloat16:
        assert np.array_equal(
            texture_negatives(images.to(dtype).permute(0, 2, 3, 1).numpy()),
            expected.permute(0, 1, 3, 4, 2).numpy(),
        )
    scaled = images.to(dtype) / 64 - 2  # exact in all of them
    assert torch.equal(texture_negatives(scaled), expected / 64 - 2)


def test_arrays_and_tensors_become_the_same_bytes():
    images = np.random.default_rng(0).normal(0, 3, (4, 64, 64, 3)).astype(np.float32)
    images[0] *= 1e-30
    images[1] *= 1e30
    images[2, 5, 5, 0] = np.nan
    images[3, 5, 5, 1] = np.inf
    assert np.array_equal(eight_bit_array(images), eight_bit_tensor(channels_first(images)).numpy())


def test_no_gradient_flows():
    images = channels_first(pictures()).float().requires_grad_()
    assert not texture_negatives(images).requires_grad


@pytest.mark.parametrize("value", [0.0, -3.5, float("nan"), float("inf")])
def test_constant_and_unbounded_images(value):
    images = np.full((2, 16, 16, 3), value, np.float32)
    assert np.array_equal(texture_negatives(images)[:, 0], images, equal_nan=True)
    assert torch.equal(
        texture_negatives(torch.from_numpy(images).permute(0, 3, 1, 2))[:, 0].isnan(),
        torch.from_numpy(np.isnan(images)).permute(0, 3, 1, 2),
    )


def test_two_colours_stay_two_colours():
    images = np.where(pictures() > 127, 200, 40).astype(np.uint8)
    made = texture_negatives(images)
    colours = {tuple(colour) for colour in images.reshape(-1, 3)}
    assert {tuple(colour) for colour in made.reshape(-1, 3)} <= colours


def test_one_channel_is_three_equal_ones():
    grey = pictures()[..., :1]
    made = texture_negatives(grey)
    assert made.shape == (3, 1, 40, 48, 1)
    assert np.array_equal(made.repeat(3, axis=-1), texture_negatives(grey.repeat(3, axis=-1)))


@pytest.mark.parametrize("channels", [2, 4, 8, 16])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_number_of_channels(channels, dtype):
    images = bands(channels, dtype)
    made = texture_negatives(images, count=2)
    assert made.shape == (2, 2, 40, 48, channels)
    assert made.dtype == dtype
    for image, textures in zip(images, made, strict=True):
        pixels = {pixel.tobytes() for pixel in image.reshape(-1, channels)}
        assert {pixel.tobytes() for pixel in textures.reshape(-1, channels)} <= pixels
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    same = texture_negatives(tensor, count=2).permute(0, 1, 3, 4, 2).contiguous()
    assert np.array_equal(same.numpy(), made)


def test_sixteen_bits_and_no_other_scale_of_a_channel_matter():
    """The search sees 16-bit images as 8-bit ones of the same contrast, and components without units."""
    images = pictures()
    assert np.array_equal(
        texture_negatives(images.astype(np.uint16) * 257), texture_negatives(images).astype(np.uint16) * 257
    )
    many = bands(6, np.float64)
    units = np.array([1, 2, 4, 0.5, 1024, 0.125])
    assert np.array_equal(texture_negatives(many * units), texture_negatives(many) * units)


def test_any_strides():
    images = pictures(4)
    turned = images[::-2, ::-1, :, ::-1]
    assert np.array_equal(texture_negatives(turned), texture_negatives(turned.copy()))
    tensor = channels_first(images)[::2].transpose(2, 3)
    assert torch.equal(texture_negatives(tensor), texture_negatives(tensor.contiguous()))


def test_empty_batches():
    assert texture_negatives(pictures()[:0], count=2).shape == (0, 2, 40, 48, 3)
    assert texture_negatives(channels_first(pictures())[:0], index=[]).shape == (0, 1, 3, 40, 48)
    elsewhere = torch.empty(0, 3, 32, 32, device="meta")
    assert texture_negatives(elsewhere, count=2).shape == (0, 2, 3, 32, 32)


@pytest.mark.parametrize(("dtype", "exemplar"), [(torch.uint8, 32), (torch.bfloat16, None)])
def test_on_another_device_without_a_wait(dtype, exemplar):
    """The meta device has no values, so a wait for one would raise."""
    images = torch.empty(5, 3, 32, 48, dtype=dtype, device="meta")
    made = texture_negatives(images, count=2, index=[1, 2, 3, 4, 5], exemplar=exemplar)
    assert made.shape == (5, 2, 3, 32, 48)
    assert made.dtype == dtype
    with pytest.raises(ValueError, match=r"use method 'live', or images.cpu\(\)"):
        texture_negatives(images, method="fast")


@pytest.mark.parametrize("method", ALL)
def test_levels_and_turns_are_options_of_every_method(method):
    images = pictures(1, 64, 64)
    plain = texture_negatives(images, exemplar=32, method=method)
    assert np.array_equal(plain, texture_negatives(images, exemplar=32, method=method, turn=False))
    made = [
        texture_negatives(images, exemplar=32, method=method, **more)
        for more in ({"levels": 1}, {"turn": True})
    ]
    assert len({one.tobytes() for one in (plain, *made)}) == 3
    tensor = texture_negatives(channels_first(images), exemplar=32, method=method, levels=2, turn=True)
    same = texture_negatives(images, exemplar=32, method=method, levels=2, turn=True)
    assert np.array_equal(tensor.permute(0, 1, 3, 4, 2).numpy(), same)
    with pytest.raises(ValueError, match="levels is 5; it must be 1 to 4"):
        texture_negatives(images, levels=5)


def test_scan_methods_are_those_of_texture():
    images = pictures(1, 48, 48)
    key = fold(0, 0, Stream.LIVE_TEXTURES, 0, 0)
    pair = exemplars(images[0], size=20, seed=key)
    for method in METHODS:
        made = texture_negatives(images, exemplar=20, method=method)
        assert np.array_equal(made[0, 0], texture(pair, size=48, seed=key, method=method))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((2, 15, 40, 3), np.uint8), {}, "15 x 40 pixels; textures need sides of 16 to 1024"),
        (np.zeros((1, 16, 1025, 3), np.uint8), {}, "sides of 16 to 1024"),
        (np.zeros((2, 32, 32, 17), np.uint8), {}, "17 channels; textures are made of 1 to 16"),
        (np.zeros((32, 32, 3), np.uint8), {}, "must be \\(N, H, W, C\\)"),
        (np.zeros((2, 32, 32, 3), np.int16), {}, "dtype int16"),
        (np.zeros((2, 32, 40, 3), np.uint8), {"exemplar": 33}, "exemplar is 33; it must be 8 to 32"),
        (np.zeros((2, 32, 32, 3), np.uint8), {"exemplar": 7}, "it must be 8 to 32"),
        (np.zeros((2, 32, 32, 3), np.uint8), {"count": 0}, "count is 0"),
        (np.zeros((2, 32, 32, 3), np.uint8), {"index": [1]}, "must hold 2 integers"),
        (np.zeros((2, 32, 32, 3), np.uint8), {"threads": 0}, "threads is 0"),
        (
            np.zeros((2, 32, 32, 3), np.uint8),
            {"method": "slow"},
            "must be one of live, fast, default, quality",
        ),
    ],
)
def test_bad_input(images, options, message):
    with pytest.raises(ValueError, match=message):
        texture_negatives(images, **options)
    if images.ndim == 4:
        with pytest.raises(ValueError, match=message):
            texture_negatives(channels_first(images), **options)


def test_wrong_kind():
    with pytest.raises(TypeError, match="list"):
        texture_negatives([[0]])
