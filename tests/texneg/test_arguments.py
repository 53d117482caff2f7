"""Arguments of every kind of negative: integers of any library, and one clear line for a wrong one."""

from functools import partial

import numpy as np
import pytest
import torch

from texneg import PatchNegatives, mixed_negatives, patch_negatives, patch_permutation, texture_negatives

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
TENSORS = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
KINDS = {
    "patch": patch_negatives,
    "permutation": partial(patch_permutation, size=(2, 8)),
    "texture": texture_negatives,
    "mixture": partial(mixed_negatives, kinds=((patch_negatives, 1.0),)),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize("name", ["seed", "epoch"])
@pytest.mark.parametrize("integer", [np.int64, np.uint64, np.int32, torch.tensor])
def test_seed_and_epoch_may_be_integers_of_any_library(kind, name, integer):
    assert np.array_equal(kind(IMAGES, **{name: integer(5)}), kind(IMAGES, **{name: 5}))


def test_seeds_are_taken_modulo_2_to_the_64(kind):
    assert np.array_equal(kind(IMAGES, seed=2**200 - 1), kind(IMAGES, seed=-1))


def test_an_epoch_that_is_a_tensor_is_read_at_every_call(kind):
    epoch = torch.tensor(0)
    first = kind(IMAGES, epoch=epoch)
    epoch.fill_(1)
    assert np.array_equal(kind(IMAGES, epoch=epoch), kind(IMAGES, epoch=1))
    assert np.array_equal(kind(IMAGES, epoch=0), first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 1.0}, "count is 1.0; it must be an integer, at least 1"),
        ({"count": True}, "count is True"),
        ({"count": None}, "count is None"),
        ({"seed": 1.5}, "seed is 1.5 and epoch 0; both must be integers"),
        ({"epoch": np.array([1, 2])}, r"epoch array\(\[1, 2\]\); both must be integers"),
    ],
)
def test_what_is_no_integer_is_a_type_error(kind, options, message):
    with pytest.raises(TypeError, match=message):
        kind(IMAGES, **options)


@pytest.mark.parametrize(
    "index",
    [
        5,
        [1],
        [1.0, 2.0],
        [True, False],
        [2**64, 0],
        [[1], [2, 3]],
        ["1", "2"],
        torch.tensor([True, False]),
        torch.tensor([1j, 2j]),
        torch.zeros(2, dtype=torch.int64, device="meta"),
    ],
    ids=str,
)
def test_an_index_that_does_not_fit_says_what_does(kind, index):
    with pytest.raises(ValueError, match=r"index .*; it must hold 2 integers, one for each image"):
        kind(IMAGES, index=index)


@pytest.mark.parametrize("index", [torch.tensor([True, False]), torch.tensor([1j, 2j]), [0.5, 1]], ids=str)
@pytest.mark.parametrize("make", [patch_negatives, texture_negatives])
def test_other_devices_take_no_other_index(make, index):
    with pytest.raises(ValueError, match="it must hold 2 integers"):
        make(TENSORS.to("meta"), index=index)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (TENSORS.to_sparse(), "sparse or lazily negated"),
        (TENSORS.float()._neg_view(), "sparse or lazily negated"),
        (IMAGES[:, :0], "0 x 16 pixels; both sides must be at least 1"),
        (IMAGES.astype(">f4"), "dtype >f4; it must be one of uint8"),
        (IMAGES.astype(bool), "dtype bool; it must be one of uint8"),
        (TENSORS.int(), "dtype int32; it must be one of uint8.*bfloat16"),
    ],
)
def test_images_that_are_no_pixels_say_what_is_allowed(kind, images, message):
    with pytest.raises(ValueError, match=message):
        kind(images)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_in_the_wrong_place_are_named_with_the_remedy(kind, channels):
    tensors = torch.zeros(2, 16, 24, channels, dtype=torch.uint8)
    with pytest.raises(ValueError, match=rf"\(2, 16, 24, {channels}\) look like \(N, H, W, C\).*permute"):
        kind(tensors)
    with pytest.raises(ValueError, match=rf"\(2, {channels}, 16, 24\) look like \(N, C, H, W\).*transpose"):
        kind(np.zeros((2, channels, 16, 24), np.float32))


def test_narrow_images_are_taken_as_they_come():
    assert patch_negatives(torch.zeros(2, 3, 9, 3)).shape == (2, 1, 3, 9, 3)
    assert patch_negatives(np.zeros((2, 3, 9, 3), np.uint8)).shape == (2, 1, 3, 9, 3)


def test_the_transform_speaks_of_one_image():
    with pytest.raises(ValueError, match=r"image has shape \(2, 3, 16, 16\); it must be \(C, H, W\)"):
        PatchNegatives()(TENSORS, index=0)
    with pytest.raises(ValueError, match=r"image has shape \(16, 16\); it must be \(H, W, C\)"):
        PatchNegatives()(IMAGES[0, :, :, 0], index=0)


@pytest.mark.parametrize("options", [{"exemplar": 12.0}, {"exemplar": "12"}, {"threads": 1.5}])
def test_integers_of_textures(options):
    with pytest.raises(TypeError, match="it must be an integer"):
        texture_negatives(IMAGES, **options)
