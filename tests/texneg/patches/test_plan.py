"""Plans: the sizes and places they draw, and pixels that lie where the plan puts them."""

import doctest

import numpy as np
import pytest
import torch

from texneg.patches import plan as patch_plan
from texneg.patches.patches import patch_negatives, patch_permutation
from texneg.patches.plan import (
    Rule,
    Source,
    batch_key,
    default_size,
    divisors,
    permutations_needed,
    plan,
    tiling,
)
from texneg.philox.arrays import fold, fold_array


def key_of(base, index, number=0):
    return int(fold_array(fold_array(base, np.array([index])), np.array([number]))[0])


def chi_square_p(counts):
    """Probability of at least this much unevenness among equally likely cells."""
    expected = counts.sum() / counts.size
    statistic = ((counts - expected) ** 2 / expected).sum()
    half = torch.tensor([(counts.size - 1) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


@pytest.mark.parametrize(
    ("side", "expected"), [(32, (2, 10)), (64, (5, 21)), (96, (7, 31)), (128, (9, 41)), (224, (16, 72))]
)
def test_default_sizes_are_the_papers_scaled(side, expected):
    assert default_size(side, side) == expected
    assert default_size(side, side + 100) == default_size(side + 100, side) == expected


def test_the_default_is_never_below_two_pixels():
    assert default_size(5, 5) == (2, 2)


def test_the_documented_examples_are_true():
    assert doctest.testmod(patch_plan).attempted > 0
    assert doctest.testmod(patch_plan).failed == 0


def test_the_key_is_the_documented_chain():
    assert key_of(batch_key(3, 4), 5, 6) == fold(3, 4, 0x9A7C, 5, 6)


def test_patch_sides_are_uniform_on_the_closed_range():
    base = batch_key(1, 0)
    sides = [plan(key_of(base, i), 224, 224, Rule(base, 16, 72, Source.CROPS)).d for i in range(6000)]
    counts = np.bincount(sides, minlength=73)[16:]
    assert len(counts) == 57
    assert counts.min() > 0
    assert chi_square_p(counts) > 1e-3


@pytest.mark.parametrize("axis", [0, 1])
def test_offsets_are_uniform_over_all_places_where_the_patch_fits(axis):
    base = batch_key(2, 0)
    rule = Rule(base, 8, 8, Source.CROPS)
    plans = [plan(key_of(base, i), 32, 32, rule) for i in range(800)]
    offsets = [(made.tops, made.lefts)[axis] for made in plans]
    counts = np.bincount(np.concatenate(offsets), minlength=25)
    assert len(counts) == 25  # 0 ... 24: the last place is drawn too
    assert chi_square_p(counts) > 1e-3


def test_y_and_x_and_neighbouring_tiles_are_independent():
    base = batch_key(3, 0)
    rule = Rule(base, 29, 29, Source.CROPS)
    plans = [plan(key_of(base, i), 32, 32, rule) for i in range(1500)]
    joint = np.zeros((4, 4, 4, 4))
    for made in plans:
        (y0, y1), (x0, x1) = made.tops[:2], made.lefts[:2]
        joint[y0, x0, y1, x1] += 1
    assert chi_square_p(joint.ravel()) > 1e-3


@pytest.mark.parametrize("changed", ["seed", "epoch", "index", "number"])
def test_every_field_changes_the_plan(changed):
    fields = {"seed": 0, "epoch": 0, "index": 0, "number": 0}

    def places(fields):
        base = batch_key(fields["seed"], fields["epoch"])
        key = key_of(base, fields["index"], fields["number"])
        made = plan(key, 224, 224, Rule(base, 30, 30, Source.CROPS))
        return np.concatenate([made.tops, made.lefts])

    assert not np.array_equal(places(fields), places({**fields, changed: 1}))


def coordinates(height, width):
    """A float32 image (1, H, W, 2) whose pixels say where they are."""
    return np.stack(np.mgrid[:height, :width], axis=-1).astype(np.float32)[None]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (18, 18, (2, 9)),
        (64, 96, None),
        (224, 224, None),
        (50, 30, (5, 10)),
        (40, 60, (20, 20)),
        (256, 32, (3, 32)),
        (30, 60, (30, 30)),
    ],
)
def test_every_tile_is_the_planned_square_of_the_source(height, width, size, source, turned):
    image = coordinates(height, width)
    options = {"size": size, "flip": turned, "rotate": turned, "seed": 3, "epoch": 2, "index": [11]}
    if source == Source.PERMUTATION:
        negative = patch_permutation(image, **options)[0, 0]
    else:
        overlap, paper = source != Source.DISJOINT, source == Source.PAPER
        negative = patch_negatives(image, overlap=overlap, paper=paper, **options)[0, 0]
    base = batch_key(3, 2)
    rule = Rule(base, *(size or default_size(height, width)), source, turned, turned)
    d, columns, tops, lefts, turns = plan(key_of(base, 11), height, width, rule)
    rows, _ = tiling(height, width, d, source)
    assert len(tops) == len(lefts) == len(turns) == rows * columns
    assert tops.min() >= 0
    assert lefts.min() >= 0
    assert tops.max() <= height - d
    assert lefts.max() <= width - d
    assert turned or not turns.any()
    for tile, (top, left, turn) in enumerate(zip(tops, lefts, turns, strict=True)):
        y, x = tile // columns * d, tile % columns * d
        seen = negative[y : y + d, x : x + d]
        square = image[0, top : top + d, left : left + d]
        expected = np.rot90(np.fliplr(square) if turn % 2 else square, turn // 2)
        assert np.array_equal(seen, expected[: seen.shape[0], : seen.shape[1]])


def test_turns_are_uniform_and_each_option_is_its_own():
    base = batch_key(6, 0)

    def turns(flip, rotate):
        rule = Rule(base, 8, 8, Source.CROPS, flip, rotate)
        return np.concatenate([plan(key_of(base, i), 32, 32, rule).turns for i in range(200)])

    both = turns(True, True)
    assert chi_square_p(np.bincount(both, minlength=8)) > 1e-3
    assert np.array_equal(turns(True, False), both % 2)
    assert np.array_equal(turns(False, True), both // 2 * 2)


def test_turning_changes_no_place():
    base = batch_key(0, 0)
    for source in Source:
        still, turned = Rule(base, 4, 8, source), Rule(base, 4, 8, source, True, True)
        a, b = plan(key_of(base, 5), 32, 40, still), plan(key_of(base, 5), 32, 40, turned)
        assert all(map(np.array_equal, a[:4], b[:4]))


@pytest.mark.parametrize(("height", "width"), [(48, 48), (48, 64), (40, 40), (30, 45), (7, 7)])
def test_a_permutation_uses_every_pixel_exactly_once(height, width):
    images = np.repeat(coordinates(height, width), 20, axis=0)
    made = patch_permutation(images, size=(2, min(height, width)), flip=True, rotate=True)[:, 0]
    flat = (made[..., 0] * width + made[..., 1]).reshape(20, -1)
    assert (np.sort(flat, axis=1) == np.arange(height * width)).all()


def test_permutations_draw_every_common_divisor_alike():
    base = batch_key(8, 0)
    assert divisors(224, 96, 3, 40) == [4, 8, 16, 32]
    rule = Rule(base, 3, 40, Source.PERMUTATION)
    sides = np.array([plan(key_of(base, i), 224, 96, rule).d for i in range(2000)])
    counts = np.array([(sides == d).sum() for d in (4, 8, 16, 32)])
    assert counts.sum() == 2000
    assert chi_square_p(counts) > 1e-3


@pytest.mark.parametrize(("height", "width", "d"), [(48, 48, 8), (48, 64, 16), (40, 40, 40)])
def test_disjoint_tiles_that_fit_exactly_permute_the_pixels(height, width, d):
    images = coordinates(height, width)
    negative = patch_negatives(images, size=(d, d), overlap=False)[0, 0]
    flat = (negative[..., 0] * width + negative[..., 1]).ravel()
    assert np.array_equal(np.sort(flat), np.arange(height * width))


@pytest.mark.parametrize(
    ("height", "width", "d"), [(50, 31, 7), (224, 224, 72), (224, 224, 150), (17, 40, 16)]
)
def test_disjoint_cells_never_overlap_within_a_permutation(height, width, d):
    base = batch_key(0, 0)
    cells, rounds = permutations_needed(height, width, d)
    assert 1 <= rounds <= 4
    for index in range(20):
        made = plan(key_of(base, index), height, width, Rule(base, d, d, Source.DISJOINT))
        tops, lefts = made.tops, made.lefts
        assert len({*tops % d}) == len({*lefts % d}) == 1  # one grid
        for start in range(0, len(tops), cells):
            places = [*zip(tops[start : start + cells], lefts[start : start + cells], strict=True)]
            assert len({*places}) == len(places)


def test_disjoint_permutations_and_grid_offsets_are_uniform():
    base = batch_key(4, 0)
    orders, offsets = np.zeros(24), np.zeros((3, 3))
    for index in range(3000):
        made = plan(key_of(base, index), 12, 12, Rule(base, 5, 5, Source.DISJOINT))
        tops, lefts = made.tops, made.lefts
        top, left = tops.min(), lefts.min()
        cells = (tops[:4] - top) // 5 * 2 + (lefts[:4] - left) // 5
        orders[sum(int((cells[i + 1 :] < cells[i]).sum()) * [6, 2, 1, 1][i] for i in range(4))] += 1
        offsets[top, left] += 1
    assert chi_square_p(orders) > 1e-3
    assert chi_square_p(offsets.ravel()) > 1e-3
