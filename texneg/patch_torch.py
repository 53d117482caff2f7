"""Patch negatives as one gather on the device of the batch; the plan is drawn there too.

Shapes: N images, k negatives each, C H W image, T tiles at most.
"""

import torch
from torch import Tensor

from texneg.patch_plan import Rule, permutations_needed, tiling
from texneg.philox_torch import below_tensor, fold_tensor, philox_tensor, signed

_LAST = (1 << 63) - 1


@torch.no_grad()
def shuffle(images: Tensor, count: int, index: Tensor, rule: Rule) -> Tensor:
    """(N, k, C, H, W) negatives of (N, C, H, W) images; arguments checked by `patch_negatives`.

    `index` is (N,) int64 on the device of the images. Nothing here waits for the device.
    """
    N, C, H, W = images.shape
    numbers = torch.arange(count, device=images.device)
    keys = fold_tensor(fold_tensor(signed(rule.base), index).unsqueeze(1), numbers)  # (N, k)
    pixels = _source_pixels(keys, H, W, rule)  # (N, k, H * W)
    source = images.reshape(N, 1, C, H * W).expand(N, count, C, H * W)
    picked = source.gather(3, pixels.unsqueeze(2).expand(N, count, C, H * W))
    return picked.reshape(N, count, C, H, W)


def _source_pixels(keys: Tensor, H: int, W: int, rule: Rule) -> Tensor:
    """For every output pixel the flat position of its source pixel, (..., H * W) int64."""
    first = philox_tensor(keys, torch.zeros_like(keys))
    d = rule.lo + below_tensor(first[..., :1], rule.hi - rule.lo + 1)  # (..., 1)
    if rule.overlap:
        tops, lefts = _crops(_words(keys, 2 * _most_tiles(H, W, rule)), d, H, W)  # (..., T)
    else:
        tops, lefts = _grid_cells(_words(keys, _most_slots(H, W, rule)), first, d, H, W)
    pixel = torch.arange(H * W, device=keys.device)
    y, x = pixel // W, pixel % W
    tile = y // d * ((W + d - 1) // d) + x // d
    return (tops.gather(-1, tile) + y % d) * W + lefts.gather(-1, tile) + x % d


def _words(keys: Tensor, count: int) -> Tensor:
    """At least `count` random words of each key, from block 1 on: (..., words)."""
    blocks = 1 + torch.arange((count + 3) // 4, device=keys.device)
    return philox_tensor(keys.unsqueeze(-1), blocks).flatten(-2)


def _most_tiles(H: int, W: int, rule: Rule) -> int:
    rows, columns = tiling(H, W, rule.lo)
    return rows * columns


def _most_slots(H: int, W: int, rule: Rule) -> int:
    needs = (permutations_needed(H, W, d) for d in range(rule.lo, rule.hi + 1))
    return max(cells * rounds for cells, rounds in needs)


def _crops(words: Tensor, d: Tensor, H: int, W: int) -> tuple[Tensor, Tensor]:
    """Corners of independent crops: words in pairs of y and x."""
    return below_tensor(words[..., 0::2], H - d + 1), below_tensor(words[..., 1::2], W - d + 1)


def _grid_cells(words: Tensor, first: Tensor, d: Tensor, H: int, W: int) -> tuple[Tensor, Tensor]:
    """Corners of disjoint grid cells in permuted order; slots that d does not use sort to the end."""
    slots = torch.arange(words.shape[-1], device=words.device)
    columns = W // d
    cells = (H // d) * columns
    tiles = ((H + d - 1) // d) * ((W + d - 1) // d)
    used = (tiles + cells - 1) // cells * cells
    order = (slots // cells << 58) | (words << 26) | slots % cells
    cell = order.masked_fill(slots >= used, _LAST).sort(dim=-1).values & 0x3FFFFFF
    top, left = below_tensor(first[..., 1:2], H % d + 1), below_tensor(first[..., 2:3], W % d + 1)
    return top + cell // columns * d, left + cell % columns * d
