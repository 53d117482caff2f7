"""Views: operators against torchvision v2, distributions, pixels that depend on nothing but their key."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter, ImageOps
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms import functional as pil
from torchvision.transforms.v2 import functional as reference

from texneg.errors import InputError
from texneg.train.data.augment import allocate, augment
from texneg.train.data.augmentations import (
    AUGMENTATIONS,
    KEY,
    QUERY,
    Byol,
    MocoV2,
    SimClr,
    WangLiu,
    read_augmentation,
)
from texneg.train.data.colours import ORDERS
from texneg.train.data.views import make_views, plan_views

NEUTRAL = {
    "flip": 0,
    "brightness": 1,
    "contrast": 1,
    "saturation": 1,
    "hue": 0,
    "order": 0,
    "grey": 0,
    "sigma": 0,
    "solarise": 0,
    "cubic": 0,
    "reach": np.inf,
}
OPERATORS = (
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
    reference.adjust_hue,
)


def picture(height, width, seed=0):
    """Smooth colours with noise, so that resizing, hue and blur all have something to do."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (3 + c)) + np.cos(y / (4 + c)) for c in range(3)]
    return (
        (np.stack(waves, 2) * 50 + 120 + draw.normal(0, 20, (height, width, 3))).clip(0, 255).astype(np.uint8)
    )


def ours(image, size, box, **changes):
    values = {**NEUTRAL, **changes}
    out = np.zeros((size, size, 3), np.uint8)
    plan = np.array([*box, *values.values()], np.float64)
    augment(image, plan, out, allocate(plan[None], size))
    return out


def theirs(image, size, box, **changes):
    """Torchvision v2's functional operators on a float image, rounded once at the end."""
    values = {**NEUTRAL, **changes}
    x = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    resize = InterpolationMode.BICUBIC if values["cubic"] else InterpolationMode.BILINEAR
    x = reference.resized_crop(x, *box, [size, size], resize, antialias=True).clamp(0, 1)
    if values["flip"]:
        x = reference.horizontal_flip(x)
    factors = [values[name] for name in ("brightness", "contrast", "saturation", "hue")]
    for which in ORDERS[values["order"]]:
        x = OPERATORS[which](x, factors[which])
    if values["grey"]:
        x = reference.rgb_to_grayscale(x, num_output_channels=3)
    if values["sigma"]:
        x = reference.gaussian_blur(x, [2 * int(min(values["reach"], 11)) + 1] * 2, [values["sigma"]] * 2)
    if values["solarise"]:
        x = reference.solarize(x, 0.5)
    return (x * 255).round().permute(1, 2, 0).numpy()


CHANGES = [
    {},
    {"flip": 1},
    {"brightness": 1.37},
    {"brightness": 0.6},
    {"contrast": 1.4},
    {"contrast": 0.62},
    {"saturation": 1.4},
    {"saturation": 0.6},
    {"hue": 0.1},
    {"hue": -0.07},
    {"grey": 1},
    {"sigma": 0.3},
    {"sigma": 1.9},
    {"sigma": 1.5, "reach": 2},
    {"cubic": 1},
    {
        "brightness": 1.3,
        "contrast": 0.7,
        "saturation": 1.2,
        "hue": 0.08,
        "order": 17,
        "flip": 1,
        "sigma": 1.0,
    },
    {"brightness": 0.7, "contrast": 1.4, "saturation": 0.8, "hue": -0.1, "order": 6},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize(
    ("shape", "box", "size"),
    [((40, 50), (3, 7, 30, 25), 32), ((40, 50), (0, 0, 40, 50), 24), ((70, 64), (5, 1, 57, 61), 24)],
    ids=["enlarge", "whole", "reduce"],
)
def test_operators_equal_torchvision(shape, box, size, changes):
    image = picture(*shape)
    difference = np.abs(ours(image, size, box, **changes) - theirs(image, size, box, **changes))
    # The blur ends at 3 sigma here and at 11 pixels there: up to one level more.
    assert difference.max() <= (2 if "sigma" in changes else 1)
    assert difference.mean() < 0.05


def test_solarised_levels_are_inverted_from_128_up():
    image = picture(32, 32)
    out = ours(image, 32, (0, 0, 32, 32), solarise=1)
    assert np.array_equal(out, np.asarray(ImageOps.solarize(Image.fromarray(image), 128)))


def test_orders_are_all_permutations():
    assert len({tuple(row) for row in ORDERS}) == len(ORDERS) == 24
    assert all(sorted(row) == [0, 1, 2, 3] for row in ORDERS)


def plans(n, augmentation=None, size=(60, 80), **key):
    key = {"seed": 0, "epoch": 0, "view": QUERY} | key
    sizes = np.full((n, 2), size, np.float64)
    return plan_views(sizes, augmentation or MocoV2(32), index=np.arange(n), **key)


def test_parameters_are_distributed_as_torchvision_draws_them():
    n = 4000
    plan = plans(n)
    top, left, height, width, flip, brightness, _, saturation, hue, order, grey, sigma = plan.T[:12]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.zeros(3, 60, 80)
        crop = v2.RandomResizedCrop(32, (0.2, 1.0))
        drawn = np.array([list(crop.make_params([image]).values()) for _ in range(n)], float)
    for mine, expected in zip((top, left, height, width), drawn.T, strict=True):
        tolerance = 5 * expected.std() / n**0.5
        assert abs(mine.mean() - expected.mean()) < 2**0.5 * tolerance
        assert abs(mine.std() - expected.std()) < 2 * tolerance
    jittered = brightness != 1
    for share, expected in ((jittered, 0.8), (flip, 0.5), (grey, 0.2), (sigma > 0, 0.5)):
        assert abs(share.mean() - expected) < 5 * (expected * (1 - expected) / n) ** 0.5
    for factor, low, high in ((brightness, 0.6, 1.4), (saturation, 0.6, 1.4), (hue, -0.1, 0.1)):
        chosen = factor[jittered]
        assert low <= chosen.min() < low + 0.01 * (high - low) * 2
        assert high - 0.02 * (high - low) < chosen.max() <= high
        assert abs(chosen.mean() - (low + high) / 2) < (high - low) * 0.03
    blurred = sigma[sigma > 0]
    assert blurred.min() >= 0.1
    assert blurred.max() <= 2.0
    counts = np.bincount(order.astype(int), minlength=24)
    assert (
        (counts - n / 24) ** 2 / (n / 24)
    ).sum() < 60  # chi-square with 23 degrees of freedom, p about 4e-5


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.05, 1.0), st.integers(0, 2**32))
def test_crops_lie_inside_any_image(height, width, smallest, seed):
    top, left, h, w = plans(20, MocoV2(8, crop=smallest), (height, width), seed=seed).T[:4]
    assert (np.stack([top, left, h - 1, w - 1]) >= 0).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()


def test_pixels_depend_on_seed_epoch_index_and_view_alone():
    images = [picture(30 + i, 40, i) for i in range(12)]
    index = np.arange(100, 112)
    augmentation = MocoV2(16)

    def views(rows, seed=3, epoch=5, view=QUERY):
        chosen = [images[row] for row in rows]
        return make_views(chosen, augmentation, seed=seed, epoch=epoch, index=index[rows], view=view)

    whole = views(np.arange(12))
    parts = np.concatenate([views(np.arange(7)), views(np.arange(7, 12))])
    assert np.array_equal(whole, parts)
    order = np.array([5, 0, 11, 3])
    assert np.array_equal(whole[order], views(order))
    for changed in ({"seed": 4}, {"epoch": 6}, {"view": KEY}):
        other = views(np.arange(12), **changed)
        assert all(not np.array_equal(a, b) for a, b in zip(whole, other, strict=True))


def test_no_augmentation_but_the_crop_is_the_plain_resize():
    image = picture(32, 32)
    augmentation = MocoV2(32, crop=1.0, jitter=0.0, grey=0.0, blur=0.0)
    out = make_views([image] * 20, augmentation, seed=0, epoch=0, index=np.arange(20), view=QUERY)
    whole = [np.array_equal(v, image) or np.array_equal(v, image[:, ::-1]) for v in out]
    # Area 1 fits a square image only at aspect 1; other aspects fall back to the whole image, too.
    assert all(whole)


def test_each_view_has_its_own_operators():
    n = 4000
    published = {  # jitter, blur and solarise: probabilities; colours; smallest area, cubic
        (MocoV2, QUERY): (0.8, 0.5, 0, (0.4, 0.4, 0.4, 0.1), 0.2, 0),
        (Byol, QUERY): (0.8, 1, 0, (0.4, 0.4, 0.2, 0.1), 0.08, 1),
        (Byol, KEY): (0.8, 0.1, 0.2, (0.4, 0.4, 0.2, 0.1), 0.08, 1),
        (SimClr, KEY): (0.8, 0.5, 0, (0.8, 0.8, 0.8, 0.2), 0.08, 1),
        (WangLiu, QUERY): (1, 0, 0, (0.4, 0.4, 0.4, 0.4), 0.2, 0),
    }
    for (augmentation, view), (jittered, blurred, solarised, colours, smallest, cubic) in published.items():
        plan = plans(n, augmentation(64), (2000, 2000), view=view)
        shares = (plan[:, 8] != 0, jittered), (plan[:, 11] > 0, blurred), (plan[:, 12], solarised)
        for share, expected in shares:
            assert abs(share.mean() - expected) <= 5 * (expected * (1 - expected) / n) ** 0.5
        changed = plan[plan[:, 8] != 0, 5:9] - (1, 1, 1, 0)
        np.testing.assert_allclose(np.abs(changed).max(0), colours, rtol=0.01)
        assert (np.abs(changed.mean(0)) < 0.05 * np.array(colours)).all()
        assert smallest - 0.001 < (plan[:, 2] * plan[:, 3]).min() / 2000**2 < smallest + 0.02
        assert (plan[:, 13] == cubic).all()
        assert (plan[:, 14] == (3 if augmentation is SimClr else np.inf)).all()


def pipeline(image, size, row):
    """The official transforms on a Pillow image, with the parameters of a row of a plan."""
    top, left, height, width = map(int, row[:4])
    cut = Image.fromarray(image).crop((left, top, left + width, top + height))
    x = cut.resize((size, size), Image.Resampling.BICUBIC if row[13] else Image.Resampling.BILINEAR)
    adjust = pil.adjust_brightness, pil.adjust_contrast, pil.adjust_saturation, pil.adjust_hue
    for which in ORDERS[int(row[9])] if row[8] else ():
        x = adjust[which](x, row[5 + which])
    if row[10]:
        x = x.convert("L").convert("RGB")
    if row[11]:
        x = x.filter(ImageFilter.GaussianBlur(float(row[11])))
    if row[12]:
        x = ImageOps.solarize(x)
    return np.asarray(ImageOps.mirror(x) if row[4] else x)


@pytest.mark.parametrize("augmentation", [MocoV2, Byol])
def test_pillow_gives_the_official_bytes_and_compiled_views_come_close(augmentation):
    n, size = 24, 48
    images = [picture(60, 80, i) for i in range(n)]
    key = {"seed": 1, "epoch": 0, "index": np.arange(n), "view": KEY}
    plan = plans(n, augmentation(size), seed=1, view=KEY)
    exact = make_views(images, augmentation(size, operators="pillow"), **key)
    assert np.array_equal(exact, [pipeline(*one) for one in zip(images, [size] * n, plan, strict=True)])
    # Pillow's blur is three box blurs, and its hue has 256 steps; near 128 a solarised level may flip.
    compared = plan[:, 12] == 0
    compiled = make_views(images, augmentation(size), **key)
    difference = np.abs(compiled[compared].astype(int) - exact[compared])
    assert difference.mean() < 1.5


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_every_augmentation_is_read_back_and_refuses_what_is_no_probability(augmentation):
    made = augmentation(32, operators="pillow")
    assert read_augmentation(json.loads(json.dumps(made.plain()))) == made
    made.check()
    with pytest.raises(InputError, match=r"--jitter 2\.6: 0 to (2\.5|1\.25)"):
        augmentation(32, jitter=2.6).check()
    wrong = (0.5, 1.5) if augmentation is Byol else 1.5
    with pytest.raises(InputError, match=r"--blur (0\.5 )?1\.5: a probability, 0 to 1"):
        augmentation(32, blur=wrong).check()


def test_settings_of_moco_are_what_they_were():
    plain = {"image_size": 224, "crop": 0.2, "jitter": 1.0, "grey": 0.2, "blur": 0.5}
    assert MocoV2().plain() == plain
    assert read_augmentation(plain) == MocoV2()
