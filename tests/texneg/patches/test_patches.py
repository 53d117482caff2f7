"""The public call: kinds, dtypes, strides, what it refuses, and the transform for one image."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from texneg import PatchNegatives, patch_negatives, patch_permutation

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 24, 30, 3), np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_arrays_keep_dtype_and_layout(dtype):
    made = patch_negatives(IMAGES.astype(dtype), count=2)
    assert made.shape == (3, 2, 24, 30, 3)
    assert made.dtype == dtype
    assert np.array_equal(made, patch_negatives(IMAGES, count=2).astype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", "bfloat16"])
def test_tensors_keep_dtype_and_hold_the_same_pixels_as_arrays(dtype):
    tensor = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).to(getattr(torch, dtype))
    made = patch_negatives(tensor, count=2)
    assert made.shape == (3, 2, 3, 24, 30)
    assert made.dtype == tensor.dtype
    expected = torch.from_numpy(patch_negatives(IMAGES, count=2)).permute(0, 1, 4, 2, 3)
    assert torch.equal(made, expected.to(made.dtype))


@given(
    steps=st.tuples(*[st.sampled_from([-2, -1, 1, 2, 3])] * 3),
    swap=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_any_strides_give_what_a_contiguous_copy_gives(steps, swap, seed):
    memory = np.random.default_rng(seed).random((4, 45, 50, 3), np.float32)
    images = memory[:: steps[0], :: steps[1], :: steps[2]]
    images = images.transpose(0, 2, 1, 3) if swap else images
    expected = patch_negatives(np.ascontiguousarray(images), seed=seed)
    assert np.array_equal(patch_negatives(images, seed=seed), expected)
    frozen = images.view()
    frozen.flags.writeable = False
    assert np.array_equal(patch_negatives(frozen, seed=seed), expected)


def test_expanded_and_channels_last_tensors():
    draw = torch.Generator().manual_seed(0)
    one = torch.rand(1, 3, 20, 20, generator=draw)
    expanded = one.expand(4, 3, 20, 20)
    assert torch.equal(patch_negatives(expanded), patch_negatives(expanded.contiguous()))
    many = torch.rand(2, 3, 20, 20, generator=draw)
    last = many.to(memory_format=torch.channels_last)
    assert torch.equal(patch_negatives(last), patch_negatives(many))


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("index", [None, [5, 6], torch.tensor([5, 6])])
def test_other_devices_gather_without_looking_at_a_value(index, overlap):
    """The meta device holds no values, so anything that waited for one would fail here."""
    images = torch.empty(2, 3, 40, 30, dtype=torch.float16, device="meta")
    made = patch_negatives(images, count=2, index=index, overlap=overlap)
    assert (made.shape, made.dtype, made.device.type) == ((2, 2, 3, 40, 30), torch.float16, "meta")
    out = torch.empty_like(made)
    assert patch_negatives(images, count=2, index=index, overlap=overlap, out=out) is out


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "bfloat16", "float32"])
def test_the_gpu_gives_the_pixels_of_the_cpu(dtype, overlap):
    images = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).to(getattr(torch, dtype))
    options = {"count": 2, "overlap": overlap, "seed": 4, "epoch": 1, "index": [0, 2**62, 7]}
    made = patch_negatives(images.cuda(), **options)
    assert torch.equal(made.cpu(), patch_negatives(images, **options))


def test_images_are_left_alone_and_no_gradient_flows():
    tensor = torch.ones(2, 3, 20, 20).cumsum(3).requires_grad_()
    before = tensor.detach().clone()
    assert not patch_negatives(tensor).requires_grad
    assert torch.equal(tensor.detach(), before)


def test_out_is_filled_and_returned():
    expected = patch_negatives(IMAGES, count=2, seed=1)
    out = np.zeros_like(expected)
    assert patch_negatives(IMAGES, count=2, seed=1, out=out) is out
    assert np.array_equal(out, expected)
    tensor = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    target = torch.zeros(3, 2, 3, 24, 30, dtype=torch.uint8)
    assert patch_negatives(tensor, count=2, seed=1, out=target) is target
    assert np.array_equal(target.permute(0, 1, 3, 4, 2).numpy(), expected)


def test_the_default_index_counts_from_zero():
    expected = patch_negatives(IMAGES, index=[0, 1, 2])
    assert np.array_equal(patch_negatives(IMAGES), expected)
    assert np.array_equal(patch_negatives(IMAGES, index=torch.arange(3)), expected)
    assert np.array_equal(patch_negatives(IMAGES, index=np.arange(3, dtype=np.uint8)), expected)


def test_an_empty_batch_gives_an_empty_result():
    assert patch_negatives(IMAGES[:0], count=3, index=[]).shape == (0, 3, 24, 30, 3)
    assert patch_negatives(torch.zeros(0, 3, 24, 30)).shape == (0, 1, 3, 24, 30)
    assert patch_permutation(IMAGES[:0], count=2).shape == (0, 2, 24, 30, 3)


@pytest.mark.parametrize("channels", [0, 1, 2, 4, 5, 16])
def test_any_number_of_channels(channels):
    images = np.random.default_rng(1).integers(0, 256, (2, 20, 24, channels), np.uint8)
    each = [patch_negatives(images[..., c : c + 1], flip=True, rotate=True) for c in range(channels)]
    expected = np.concatenate(each, axis=-1) if each else np.empty((2, 1, 20, 24, 0), np.uint8)
    assert np.array_equal(patch_negatives(images, flip=True, rotate=True), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (4, 25)}, "1 <= lo <= hi <= 24"),
        ({"size": (0, 4)}, "1 <= lo"),
        ({"size": (9, 8)}, r"\(9, 8\)"),
        ({"size": 8}, "patch size 8 .* must be integers"),
        ({"size": (2.5, 8)}, r"patch size \(2.5, 8\) .* must be integers"),
        ({"size": (2, 3, 4)}, r"patch size \(2, 3, 4\) .* must be integers"),
        ({"size": "ab"}, "patch size ab .* must be integers"),
        ({"count": 0}, "count is 0"),
        ({"count": -1}, "count is -1"),
        ({"paper": True, "overlap": False}, "paper=True with overlap=False"),
        ({"index": [1, 2]}, "3 integers"),
        ({"index": [[1, 2, 3]]}, "3 integers"),
        ({"index": [0.0, 1.0, 2.0]}, "3 integers"),
        ({"index": torch.ones(3)}, "3 integers"),
        ({"out": np.zeros((3, 1, 24, 30, 3), np.float32)}, "out must be"),
        ({"out": np.zeros((3, 2, 24, 30, 3), np.uint8)}, "out must be"),
        ({"out": np.zeros((3, 1, 24, 30, 6), np.uint8)[..., ::2]}, "out must be"),
        ({"out": torch.zeros((3, 1, 24, 30, 3), dtype=torch.uint8)}, "out must be"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        patch_negatives(IMAGES, **options)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((7, 11), "no patch side from 7 to 11 divides images of 24 x 30 pixels.*: 1, 2, 3, 6"),
        ((4, 25), "1 <= lo <= hi <= 24"),
    ],
)
def test_permutations_need_a_common_divisor(size, message):
    with pytest.raises(ValueError, match=message):
        patch_permutation(IMAGES, size=size)


def test_permutations_keep_kind_and_options():
    expected = patch_permutation(IMAGES, count=2, flip=True, rotate=True, seed=1, epoch=2, index=[5, 6, 7])
    assert expected.shape == (3, 2, 24, 30, 3)
    tensor = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    out = torch.zeros(3, 2, 3, 24, 30, dtype=torch.uint8)
    options = {"count": 2, "flip": True, "rotate": True, "seed": 1, "epoch": 2, "index": [5, 6, 7]}
    assert patch_permutation(tensor, out=out, **options) is out
    assert np.array_equal(out.permute(0, 1, 3, 4, 2).numpy(), expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"\(24, 30, 3\); they must be \(N, H, W, C\)"),
        (torch.ones(3, 24, 30), r"\(N, C, H, W\)"),
        (IMAGES.astype(np.int32), "int32; it must be one of uint8"),
        (IMAGES > 3, "bool"),
        (torch.zeros(1, 3, 24, 30, dtype=torch.int64), "int64"),
        (IMAGES[:, :0], "0 x 30"),
        (IMAGES[:, :1], "1 x 30"),
    ],
)
def test_wrong_images_say_what_is_allowed(images, message):
    with pytest.raises(ValueError, match=message):
        patch_negatives(images)


def test_out_may_not_be_the_images():
    memory = np.zeros((3, 1, 24, 30, 3), np.uint8)
    with pytest.raises(ValueError, match="memory of its own"):
        patch_negatives(memory[:, 0], out=memory)
    tensor = torch.zeros(3, 1, 3, 24, 30)
    with pytest.raises(ValueError, match="memory of its own"):
        patch_negatives(tensor[:, 0], out=tensor)


def test_another_kind_is_a_type_error():
    with pytest.raises(TypeError, match="list"):
        patch_negatives([[1, 2]])
    with pytest.raises(TypeError, match="list"):
        PatchNegatives()([[1, 2]], index=0)


def test_the_transform_is_the_batch_call_for_one_image():
    expected = patch_negatives(IMAGES[:1], count=2, seed=7, epoch=3, index=[41])[0]
    transform = PatchNegatives(count=2, seed=7)
    assert all(map(np.array_equal, transform(IMAGES[0], index=41, epoch=3), expected))
    assert np.array_equal(PatchNegatives(seed=7)(IMAGES[0], index=41, epoch=3), expected[0])
    tensor = torch.from_numpy(IMAGES[0]).permute(2, 0, 1)
    options = {"size": (4, 6), "paper": True, "flip": True, "rotate": True}
    turned = PatchNegatives(**options)(IMAGES[0], index=2)
    assert np.array_equal(turned, patch_negatives(IMAGES[:1], index=[2], **options)[0, 0])
    assert "size=(4, 6), count=1, overlap=True, seed=0, paper=True" in repr(PatchNegatives(**options))
    for made, pixels in zip(transform(tensor, index=41, epoch=3), expected, strict=True):
        assert np.array_equal(made.permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "F"])
def test_pil_images_come_back_as_pil_images(mode):
    image = Image.fromarray(IMAGES[0]).convert(mode)
    made = PatchNegatives(seed=2)(image, index=5)
    assert isinstance(made, Image.Image)
    assert (made.mode, made.size) == (image.mode, image.size)
    pixels = np.asarray(image).reshape(1, 24, 30, -1)
    expected = patch_negatives(pixels, seed=2, index=[5])[0, 0]
    assert np.array_equal(np.asarray(made).reshape(24, 30, -1), expected)


def test_a_place_in_the_run_stands_last_in_a_compose():
    image = tv_tensors.Image(torch.from_numpy(IMAGES[0]).permute(2, 0, 1))
    transform = PatchNegatives(size=(4, 6))
    pipeline = v2.Compose([v2.CenterCrop(20), transform.at(index=3, epoch=1)])
    made = pipeline(image)
    assert isinstance(made, tv_tensors.Image)
    assert torch.equal(made, transform(v2.CenterCrop(20)(image), index=3, epoch=1))


class Views(torch.utils.data.Dataset):
    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, i):
        return PatchNegatives()(IMAGES[i], index=i, epoch=2)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_workers_give_the_same_pixels(workers):
    loader = torch.utils.data.DataLoader(
        Views(), batch_size=2, num_workers=workers, multiprocessing_context="fork" if workers else None
    )
    made = torch.cat(list(loader)).numpy()
    assert np.array_equal(made, patch_negatives(IMAGES, epoch=2)[:, 0])
