"""Patch negatives as one gather on the device of the batch; the plan is drawn there too.

Shapes: N images, k negatives each, C H W image, T tiles at most, S slots of a disjoint grid at most.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from texneg.patches.plan import (
    TURN_BLOCK,
    Rule,
    Source,
    divisors,
    permutations_needed,
    seam_depth,
    tiling,
)
from texneg.philox.tensors import below_tensor, fold_tensor, philox_tensor, signed

_LAST = (1 << 63) - 1


class Plans(NamedTuple):
    """`plan.Plan` of many negatives, padded to T tiles; all int64."""

    d: Tensor  # (..., 1)
    side: Tensor  # (..., 1)
    columns: Tensor  # (..., 1)
    tops: Tensor  # (..., T)
    lefts: Tensor
    turns: Tensor | None  # None where no patch is flipped or rotated


@torch.no_grad()
def shuffle(images: Tensor, count: int, index: Tensor, rule: Rule) -> Tensor:
    """(N, k, C, H, W) negatives of (N, C, H, W) images; arguments checked by `patch_negatives`.

    `index` is (N,) int64 on the device of the images. Nothing here waits for the device.
    """
    N, C, H, W = images.shape
    plans = draw_plans(index, count, H, W, rule)
    pixels = _source_pixels(plans, H, W)  # (N, k, H * W)
    source = images.reshape(N, 1, C, H * W).expand(N, count, C, H * W)
    picked = source.gather(3, pixels.unsqueeze(2).expand(N, count, C, H * W))
    made = picked.reshape(N, count, C, H, W)
    return _blend(made, plans, rule.blend) if rule.blend else made


def draw_plans(index: Tensor, count: int, H: int, W: int, rule: Rule) -> Plans:
    """The plans of negatives 0 ... k - 1 of N data-set indices, leading shape (N, k), on their device."""
    numbers = torch.arange(count, device=index.device)
    keys = fold_tensor(fold_tensor(signed(rule.base), index).unsqueeze(1), numbers)  # (N, k)
    first = philox_tensor(keys, torch.zeros_like(keys))
    d = _sides(first[..., :1], H, W, rule)
    if rule.source in (Source.CROPS, Source.PAPER):
        tops, lefts = _crops(keys, d, H, W, rule)
    else:
        tops, lefts = _grid_cells(keys, first, d, H, W, rule)
    side = d * rule.mirror
    columns = W // side + 1 if rule.source == Source.PAPER else (W + side - 1) // side
    return Plans(d, side, columns, tops, lefts, _turns(keys, tops.shape[-1], rule))


def _source_pixels(plans: Plans, H: int, W: int) -> Tensor:
    """For every output pixel the flat position of its source pixel, (..., H * W)."""
    d, side = plans.d.unsqueeze(-1), plans.side.unsqueeze(-1)  # (..., 1, 1)
    y, x = torch.arange(H, device=d.device).unsqueeze(1), torch.arange(W, device=d.device)
    tile = (y // side * plans.columns.unsqueeze(-1) + x // side).flatten(-2)  # (..., H * W)
    i, j = _unmirror(y % side, d), _unmirror(x % side, d)  # row and column inside the patch
    if plans.turns is not None:
        i, j = _before_turn(i, j, d, plans.turns.gather(-1, tile).unflatten(-1, (H, W)))
    return (plans.tops * W + plans.lefts).gather(-1, tile) + (i * W + j).flatten(-2)


def _unmirror(i: Tensor, d: Tensor) -> Tensor:
    """Row or column of the square for one of the tile."""
    i = i % (2 * d)
    return torch.minimum(i, 2 * d - 1 - i)


def _blend(made: Tensor, plans: Plans, blend: int) -> Tensor:
    """Blend the seams of (N, k, C, H, W): those between columns of tiles, then those between rows."""
    depth = seam_depth(plans.d, blend)
    for axis in (4, 3):
        across, c = _find_mirror_images(made.shape[axis], plans.side, depth)  # (N, k, W) or (N, k, H)
        if axis == 3:
            across, c = across.unsqueeze(-1), c.unsqueeze(-1)
        else:
            across, c = across.unsqueeze(-2), c.unsqueeze(-2)
        across, c = across.unsqueeze(2), c.unsqueeze(2)
        made = _mix(made, made.gather(axis, across.expand_as(made)), c)
    return made


def _find_mirror_images(length: int, side: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """For every place along a side of the image, the place across the nearest seam and its 256ths.

    A place that is not blended has itself, and 0.
    """
    place = torch.arange(length, device=side.device)
    tile = place // side
    here, weight = place.expand_as(tile), torch.zeros_like(tile)
    for seam in (tile * side, (tile + 1) * side):
        reach = torch.minimum(depth, length - seam)
        u = torch.where(place < seam, seam - 1 - place, place - seam)
        near = (seam > 0) & (u < reach)
        here = torch.where(near, 2 * seam - 1 - place, here)
        weight = torch.where(near, 64 * (2 * (reach - u) - 1) // reach.clamp(min=1), weight)
    return here, weight


def _mix(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    if a.dtype in (torch.uint8, torch.uint16):
        whole, a, b, c = a.dtype, a.int(), b.int(), c.int()
        return ((256 - c) * a + c * b + 128 >> 8).to(whole)
    return torch.where(c == 0, a, a + (b - a) * (c.to(a.dtype) / 256))


def _before_turn(i: Tensor, j: Tensor, d: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column before the turn of the pixel that the turn brings to row i, column j."""
    mirrored, odd, half = turns & 1, turns >> 1 & 1, turns >> 2
    i, j = torch.where(odd == 1, j, i), torch.where(odd == 1, i, j)
    return torch.where(half == 1, d - 1 - i, i), torch.where((half ^ odd ^ mirrored) == 1, d - 1 - j, j)


def _sides(words: Tensor, H: int, W: int, rule: Rule) -> Tensor:
    if rule.source != Source.PERMUTATION:
        return rule.lo + below_tensor(words, rule.hi - rule.lo + 1)
    chosen = below_tensor(words, len(divisors(H, W, rule.lo, rule.hi)))
    side = torch.arange(rule.lo, rule.hi + 1, device=words.device)
    reached = ((H % side == 0) & (W % side == 0)).cumsum(0)  # how many divisors up to each side
    return rule.lo + (reached <= chosen).sum(-1, keepdim=True)


def _crops(keys: Tensor, d: Tensor, H: int, W: int, rule: Rule) -> tuple[Tensor, Tensor]:
    """Corners of independent crops: words in pairs of y and x."""
    rows, columns = tiling(H, W, rule.lo * rule.mirror, rule.source)
    words = _words(keys, 1, 2 * rows * columns)
    places = 0 if rule.source == Source.PAPER else 1
    heights, widths = (H - d + places).clamp(min=1), (W - d + places).clamp(min=1)
    return below_tensor(words[..., 0::2], heights), below_tensor(words[..., 1::2], widths)


def _grid_cells(keys: Tensor, first: Tensor, d: Tensor, H: int, W: int, rule: Rule) -> tuple[Tensor, Tensor]:
    """Corners of disjoint grid cells in permuted order; slots that d does not use sort to the end."""
    words = _words(keys, 1, _most_slots(H, W, rule))  # (..., S)
    slots = torch.arange(words.shape[-1], device=words.device)
    columns = W // d
    cells = (H // d) * columns
    side = d * rule.mirror
    tiles = ((H + side - 1) // side) * ((W + side - 1) // side)
    used = (tiles + cells - 1) // cells * cells
    order = (slots // cells << 58) | (words << 26) | slots % cells
    cell = order.masked_fill(slots >= used, _LAST).sort(dim=-1).values & 0x3FFFFFF
    top, left = below_tensor(first[..., 1:2], H % d + 1), below_tensor(first[..., 2:3], W % d + 1)
    return top + cell // columns * d, left + cell % columns * d


def _most_slots(H: int, W: int, rule: Rule) -> int:
    needs = (permutations_needed(H, W, d, rule.mirror) for d in range(rule.lo, rule.hi + 1))
    return max(cells * rounds for cells, rounds in needs)


def _turns(keys: Tensor, tiles: int, rule: Rule) -> Tensor | None:
    if not (rule.flip or rule.rotate):
        return None
    words = _words(keys, TURN_BLOCK, tiles)
    return (words >> 31) * rule.flip + 2 * (words >> 29 & 3) * rule.rotate


def _words(keys: Tensor, block: int, count: int) -> Tensor:
    """`count` random words of each key, from this block on: (..., count)."""
    blocks = block + torch.arange((count + 3) // 4, device=keys.device)
    return philox_tensor(keys.unsqueeze(-1), blocks).flatten(-2)[..., :count]
