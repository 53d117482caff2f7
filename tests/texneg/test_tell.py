"""Tell: a local classifier finds seams, and nothing where there is nothing."""

import numpy as np
import pytest

from texneg import measure_tell, patch_permutation
from texneg.tell import local_statistics, separate


def smooth(n, side=96, seed=0):
    """Photograph-like fields: noise with a falling spectrum, (n, side, side, 3) uint8."""
    draw = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = 1
    noise = np.fft.fft2(draw.standard_normal((n, side, side, 3)), axes=(1, 2))
    field = np.fft.ifft2(noise / frequency[None, :, :, None] ** 1.5, axes=(1, 2)).real
    field *= 40 * draw.uniform(0.5, 1.5, (n, 1, 1, 1)) / field.std((1, 2, 3), keepdims=True)
    return (field + 128).clip(0, 255).astype(np.uint8)


def test_seams_are_told_and_other_images_are_not():
    images = smooth(40)
    seams = measure_tell(images, patch_permutation(images, size=(16, 16))[:, 0])
    control = measure_tell(images, smooth(40, seed=1))
    assert [(one.field, one.colour) for one in seams] == [(f, c) for c in (False, True) for f in (5, 20, 80)]
    assert all(one.low <= one.auc <= one.high for one in (*seams, *control))
    assert seams[0].auc > 0.95 and seams[1].auc > 0.9
    assert all(one.low < 0.6 and one.auc < 0.75 for one in control)


def test_it_is_a_function_of_the_pixels():
    images, other = smooth(20, 32), smooth(20, 32, seed=3)
    assert measure_tell(images, other) == measure_tell(images, other)
    assert [one.field for one in measure_tell(images, other, colours=[False])] == [5, 20]


def test_other_depths_and_channels_are_scaled_to_grey_levels():
    images, other = smooth(24, 32), smooth(24, 32, seed=3)
    images[0, 0, 0, 0] = 255
    deep = [array.astype(np.uint16) * 257 for array in (images, other)]
    for ours, theirs in zip(measure_tell(images, other), measure_tell(*deep), strict=True):
        assert ours.auc == pytest.approx(theirs.auc, abs=0.01)
    many = [np.concatenate([array, array, array[..., :2]], -1) for array in (images, other)]
    assert len(measure_tell(*many)) == 4
    assert len(measure_tell(images[..., :1], other[..., :1])) == 2


def test_statistics_are_those_of_the_definition():
    images = smooth(2, 40)
    grey = images.astype(float) @ [0.299, 0.587, 0.114]
    reduced = grey.reshape(2, 10, 4, 10, 4).mean((2, 4))
    from texneg.tell import _draw_filters

    filters = _draw_filters(1).double().numpy()[:, 0]
    windows = np.lib.stride_tricks.sliding_window_view(reduced, (5, 5), axis=(1, 2))
    r = np.einsum("nyxij,kij->nkyx", windows, filters).reshape(2, 24, -1)
    one, two, four = (np.log1p((np.abs(r) ** p).mean(2)) for p in (1, 2, 4))
    expected = np.concatenate([one, two - 2 * one, four - 2 * two], 1)
    assert np.allclose(local_statistics(images, 20, colour=False), expected, atol=1e-4)


def test_equal_statistics_give_one_half():
    values = np.random.default_rng(0).standard_normal((30, 6))
    assert separate(values, values)[0] == 0.5


@pytest.mark.parametrize(
    ("images", "negatives", "fields", "words"),
    [
        (smooth(19, 32), smooth(19, 32), (5,), "20 or more"),
        (smooth(20, 32), smooth(21, 32), (5,), r"negatives \(21"),
        (smooth(20, 32), smooth(20, 32), (7,), "choose from"),
    ],
)
def test_what_does_not_pair_is_refused(images, negatives, fields, words):
    with pytest.raises(ValueError, match=words):
        measure_tell(images, negatives, fields=fields)
