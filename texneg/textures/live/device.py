"""Live textures on any device: the maps of `cpu` in torch integer operations.

All pixels of a colour class of a batch decide at once, and the host waits for nothing. Keys are (T,) int64,
the bits of the plan's. Shapes: N images, k textures each, T textures, H W image, e exemplar, F side of the
output with its frame, n pixels of a class, A atlas pixels.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texneg.philox.streams import Stream
from texneg.philox.tensors import below_tensor, fold_tensor, philox_tensor, signed
from texneg.textures.live.plan import CLASSES, Level, LiveOptions, Pass, levels, passes
from texneg.textures.search import FRACTION
from texneg.textures.start import TILE
from texneg.textures.window import RADIUS, SIDE

_ORDER = 4  # bits below a cost that hold the candidate's number, so that ties keep the earlier
AT_ONCE = 1 << 20  # output pixels that are searched together, about 1 KiB of scratch each


class Corners(NamedTuple):
    """Of both exemplars of each texture, (T, 2) each."""

    tops: Tensor
    """Row of the upper left pixel in the image."""
    lefts: Tensor
    """Column of it."""
    turns: Tensor | None
    """0 to 7; None where squares stay as they are."""

    def map(self, function: Callable[[Tensor], Tensor]) -> "Corners":
        """Apply a function to all of them."""
        turns = None if self.turns is None else function(self.turns)
        return Corners(function(self.tops), function(self.lefts), turns)


@torch.no_grad()
def maps(images: Tensor, index: Tensor, options: LiveOptions) -> Tensor:
    """For every pixel of every texture the pixel y * W + x of its image that it shows: (N, k, H, W) int64.

    Args:
        images: (N, H, W, 3) uint8, any strides.
        index: (N,) int64 data-set indices on the device of the images.
        options: exemplars, count and key. Nothing here waits for the device.
    """
    N, H, W, _ = images.shape
    keys, number = texture_keys(index, options)
    size = max(1, AT_ONCE // max(H, W) ** 2)
    parts = [
        _maps(images, number[t : t + size], keys[t : t + size], options) for t in range(0, len(keys), size)
    ]
    found = torch.cat(parts) if parts else keys.new_empty(0, H, W)
    return found.unflatten(0, (N, options.textures))


def texture_keys(index: Tensor, options: LiveOptions) -> tuple[Tensor, Tensor]:
    """Key of each texture and number of its image, both (T,)."""
    numbers = torch.arange(options.textures, device=index.device)
    keys = fold_tensor(fold_tensor(signed(options.base), index).unsqueeze(1), numbers).flatten()
    return keys, torch.arange(len(keys), device=index.device) // options.textures


def exemplars(images: Tensor, number: Tensor, corners: Corners, side: int) -> Tensor:
    """(T, 2, e, e, 3) uint8 exemplars of the images `number`."""
    along = torch.arange(side, device=images.device)
    wide = corners.map(lambda one: one[..., None, None])
    rows, columns = to_image(along[:, None], along, wide, side)
    return images[number[:, None, None, None], rows, columns]


def to_image(rows: Tensor, columns: Tensor, corners: Corners, side: int) -> tuple[Tensor, Tensor]:
    """Rows and columns in the images of pixels of exemplars, whose corners are given for each pixel."""
    tops, lefts, turns = corners
    if turns is not None:
        swapped = turns & 4 > 0
        rows, columns = torch.where(swapped, columns, rows), torch.where(swapped, rows, columns)
        rows = torch.where(turns & 1 > 0, side - 1 - rows, rows)
        columns = torch.where(turns & 2 > 0, side - 1 - columns, columns)
    return tops + rows, lefts + columns


def _maps(images: Tensor, number: Tensor, keys: Tensor, options: LiveOptions) -> Tensor:
    """(T, H, W) maps of the textures of image `number`."""
    _, H, W, _ = images.shape
    corners = places(keys, H, W, options)
    crops = exemplars(images, number, corners, options.exemplar)
    scales = levels(max(H, W), options.exemplar, options.levels)
    source = _atlas_maps(crops.to(torch.int32), keys, scales)[:, RADIUS : RADIUS + H, RADIUS : RADIUS + W]
    pitch = scales[0].pitch
    row, owner = source // pitch % pitch, source // pitch // pitch
    own = corners.map(lambda one: one.gather(1, owner.flatten(1)).view_as(owner))
    rows, columns = to_image(row, source % pitch, own, options.exemplar)
    return rows * W + columns


def _atlas_maps(crops: Tensor, keys: Tensor, scales: tuple[Level, ...]) -> Tensor:
    """(T, side + 4, side + 4) atlas indices at full size."""
    pyramid = [crops]
    for _ in scales[1:]:
        pyramid.append(halve(pyramid[-1]))
    source = starts(keys, scales[-1])
    for level in reversed(scales):
        if level is not scales[-1]:
            source = upsample(source, scales[level.number + 1], level)
        rules = passes(level.number, len(scales))
        refine(source, atlas(pyramid[level.number], level), keys, level, rules)
    return source


def stream(keys: Tensor, *fields: int) -> Tensor:
    """Key of one stream of each texture: `fold(key, *fields)`."""
    folded = fold_tensor(0, keys)
    for field in fields:
        folded = fold_tensor(folded, torch.full_like(keys, field))
    return folded


def words(keys: Tensor, count: int) -> Tensor:
    """The first `count` words of each stream: (T, count)."""
    blocks = torch.arange(-(-count // 4), device=keys.device)
    return philox_tensor(keys.unsqueeze(1), blocks).flatten(1)[:, :count]


def places(keys: Tensor, height: int, width: int, options: LiveOptions) -> Corners:
    """Places in the image of both exemplars, and their turns."""
    drawn, exemplar = words(stream(keys, Stream.EXEMPLAR_PLACE), 4), options.exemplar
    rows = below_tensor(drawn[:, 0], height - exemplar + 1)
    columns = below_tensor(drawn[:, 1], width - exemplar + 1)
    top = torch.full_like(rows, height // 2 - exemplar // 2)
    left = torch.full_like(columns, width // 2 - exemplar // 2)
    turns = drawn[:, 2:] >> 29 if options.turn else None
    return Corners(torch.stack([top, rows], dim=1), torch.stack([left, columns], dim=1), turns)


def starts(keys: Tensor, level: Level) -> Tensor:
    """(T, side + 4, side + 4) int64 framed maps of verbatim tiles."""
    tile, framed = level.tile, level.framed
    down = -(-framed // tile)
    across = down + 1
    drawn = words(stream(keys, Stream.TILE), down * (1 + 4 * across)).unflatten(1, (down, -1))
    corner = below_tensor(drawn[:, :, 1:], level.room - tile + 1) + RADIUS  # (T, down, 4 across)

    row = torch.arange(framed, device=keys.device)
    shift = below_tensor(drawn[:, :, 0], tile)[:, row // tile].unsqueeze(2)
    column = row + shift  # (T, framed, framed)
    inner = (row - RADIUS).clamp(0, level.side - 1)
    owner = _second(keys, level.side)[:, inner][:, :, inner]
    at = 4 * (column // tile) + 2 * owner
    band = corner[:, row // tile]  # (T, framed, 4 across)
    y = band.gather(2, at) + (row % tile).unsqueeze(1) + owner * level.pitch
    x = band.gather(2, at + 1) + column % tile
    return y * level.pitch + x


def _second(keys: Tensor, side: int) -> Tensor:
    """1 where the second exemplar feeds, (T, side, side): above the median of a smooth field."""
    knots = side // TILE + 4
    noise = words(stream(keys, Stream.FIELD, 1), knots * knots).unflatten(1, (knots, knots)) >> 16
    for axis in (1, 2):
        noise = sum(
            (noise.narrow(axis, first, knots - 2) for first in (0, 1)), noise.narrow(axis, 2, knots - 2)
        )
    place = torch.arange(side, device=keys.device)
    knot, part = place // TILE + 1, place % TILE
    following = (knot + 1).clamp(max=knots - 3)
    lines = (TILE - part).unsqueeze(1) * noise[:, knot] + part.unsqueeze(1) * noise[:, following]
    field = (TILE - part) * lines[:, :, knot] + part * lines[:, :, following]
    pixels = side * side
    height = field.flatten(1) * pixels + torch.arange(pixels, device=keys.device)  # no two equal
    cut = height.sort(dim=1).values[:, pixels // 2, None]
    return (height >= cut).to(torch.int64).unflatten(1, (side, side))


def halve(images: Tensor) -> Tensor:
    """(..., h, w, 3) int32 to (..., h // 2, w // 2, 3): 1 3 3 1 / 8 each way, rounded, the edge repeated."""
    return (_halve_lines(_halve_lines(images, -3), -2) + 32) >> 6


def _halve_lines(images: Tensor, axis: int) -> Tensor:
    length = images.shape[axis]
    inner = torch.arange(length // 2, device=images.device) * 2
    outer = images.index_select(axis, (inner - 1).clamp(min=0))
    outer = outer + images.index_select(axis, (inner + 2).clamp(max=length - 1))
    return outer + 3 * (images.index_select(axis, inner) + images.index_select(axis, inner + 1))


def upsample(source: Tensor, coarse: Level, fine: Level) -> Tensor:
    """The framed maps one level finer: every pixel becomes four."""
    inner = torch.arange(fine.framed, device=source.device)
    near, odd = (inner + RADIUS) >> 1, (inner - RADIUS) & 1
    source = source[:, near][:, :, near]
    row = 2 * (source // coarse.pitch) + odd.unsqueeze(1)
    return row * fine.pitch + 2 * (source % coarse.pitch) + odd


def atlas(exemplars: Tensor, level: Level) -> Tensor:
    """(T, 2, e, e, 3) exemplars in their slots: (T, pixels, 3) uint8."""
    spare = level.pitch - level.exemplar
    return F.pad(exemplars, (0, 0, 0, spare, 0, spare)).to(torch.uint8).flatten(1, 3)


def refine(source: Tensor, atlas: Tensor, keys: Tensor, level: Level, rules: tuple[Pass, ...]) -> None:
    """All sweeps of a level, in place.

    Args:
        source: (T, F, F) int64 maps of atlas indices, all valid.
        atlas: (T, A, 3) uint8 colours.
        keys: (T,) int64 texture keys.
        level: sizes.
        rules: the sweeps.
    """
    windows = _windows(atlas, level)
    image = colours(atlas, source)
    inner = source[:, RADIUS:-RADIUS, RADIUS:-RADIUS].flatten(1)
    use = torch.zeros(len(source), level.bins, dtype=torch.int64, device=source.device)
    use.scatter_add_(1, _bin(inner, level), torch.ones_like(inner))
    for number, rule in enumerate(rules):
        key = stream(keys, Stream.CANDIDATE, level.number, number)
        pixel = torch.arange(level.side**2, device=source.device)
        words = philox_tensor(key.unsqueeze(1), pixel).unflatten(1, (level.side, level.side))
        for row, column in CLASSES:
            drawn = words[:, row::3, column::3].flatten(1, 2)  # (T, n, 4)
            _sweep_class(source, image, use, atlas, windows, drawn, level, rule, row, column)


def colours(atlas: Tensor, source: Tensor) -> Tensor:
    """(T, ..., 3) colours of (T, ...) atlas indices."""
    picked = atlas.gather(1, source.flatten(1).unsqueeze(2).expand(-1, -1, 3))
    return picked.unflatten(1, source.shape[1:])


def _sweep_class(
    source: Tensor,
    image: Tensor,
    use: Tensor,
    atlas: Tensor,
    windows: Tensor,
    words: Tensor,
    level: Level,
    rule: Pass,
    row: int,
    column: int,
) -> None:
    own = image[:, row:, column:].unfold(1, SIDE, 3).unfold(2, SIDE, 3).flatten(3).flatten(1, 2)  # (T, n, 75)
    pixels = (slice(None), slice(RADIUS + row, -RADIUS, 3), slice(RADIUS + column, -RADIUS, 3))
    present = source[pixels]
    shape = present.shape

    def cheapest(candidates: Tensor) -> Tensor:
        """(T, n) the cheapest of (T, n, C), the first of which is valid and takes the place of the others."""
        candidates = candidates.clamp(0, atlas.shape[1] - 1)
        candidates = torch.where(_valid(candidates, level), candidates, candidates[:, :, :1])
        cost = _distance(own, windows, candidates) << FRACTION
        cost += level.step(rule.balance) * _look_up(use, _bin(candidates, level))
        order = torch.arange(candidates.shape[2], device=source.device)
        least = ((cost << _ORDER) | order).amin(2, keepdim=True) & ((1 << _ORDER) - 1)
        return candidates.gather(2, least).squeeze(2)

    jumps = [_propose(source, rule.jump, side, level, row, column) for side in range(4)]
    found = torch.stack([present, *jumps], dim=3).flatten(1, 2)
    anywhere = _position(below_tensor(words[:, :, : rule.random], 2 * level.room**2), level)
    best = cheapest(torch.cat([found, anywhere], dim=2))
    around = 2 * rule.reach + 1
    product = words[:, :, rule.random : rule.random + rule.local] * around
    down, right = product >> 32, below_tensor(product & 0xFFFFFFFF, around)
    offset = (down - rule.reach) * level.pitch + right - rule.reach
    best = cheapest(torch.cat([best.unsqueeze(2), best.unsqueeze(2) + offset], dim=2)).unflatten(1, shape[1:])
    if rule.seam:
        best = torch.where(_is_inside_copy(source, level, row, column), present, best)

    before, after = _bin(present.flatten(1), level), _bin(best.flatten(1), level)
    one = torch.ones_like(before)
    use.scatter_add_(1, before, -one).scatter_add_(1, after, one)
    source[pixels] = best
    image[pixels] = colours(atlas, best)


def _propose(source: Tensor, jump: int, side: int, level: Level, row: int, column: int) -> Tensor:
    """The continuation of the neighbour at distance `jump` on one side (left, above, right, below)."""
    down, right = ((0, -jump), (-jump, 0), (0, jump), (jump, 0))[side]
    return _neighbour(source, down, right, level, row, column) - down * level.pitch - right


def _is_inside_copy(source: Tensor, level: Level, row: int, column: int) -> Tensor:
    """True for each pixel of the class whose eight neighbours lie in its copy."""
    here = _neighbour(source, 0, 0, level, row, column)
    inside = torch.ones_like(here, dtype=torch.bool)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            there = _neighbour(source, down, right, level, row, column)
            inside &= there == here + down * level.pitch + right
    return inside


def _neighbour(source: Tensor, down: int, right: int, level: Level, row: int, column: int) -> Tensor:
    """The map at an offset from each pixel of the class: (T, rows, columns)."""
    top, left = RADIUS + row + down, RADIUS + column + right
    rows, columns = -(-(level.side - row) // 3), -(-(level.side - column) // 3)
    return source[:, top : top + 3 * rows - 2 : 3, left : left + 3 * columns - 2 : 3]


def _windows(atlas: Tensor, level: Level) -> Tensor:
    """(T, A, 75) uint8: the 5 x 5 window around every atlas pixel, channel by channel."""
    padded = F.pad(atlas.unflatten(1, (-1, level.pitch)), (0, 0, RADIUS, RADIUS, RADIUS, RADIUS))
    return padded.unfold(1, SIDE, 1).unfold(2, SIDE, 1).flatten(3).flatten(1, 2)


def _distance(own: Tensor, windows: Tensor, candidates: Tensor) -> Tensor:
    """Sum of squared differences of windows: (T, n, C) int64."""
    textures = torch.arange(len(windows), device=windows.device) * windows.shape[1]
    rows = (candidates + textures[:, None, None]).flatten()
    theirs = windows.flatten(0, 1).index_select(0, rows).unflatten(0, candidates.shape)
    difference = theirs.to(torch.int32) - own.to(torch.int32).unsqueeze(2)
    return difference.square_().sum(3)


def _look_up(table: Tensor, where: Tensor) -> Tensor:
    return table.gather(1, where.flatten(1)).unflatten(1, where.shape[1:])


def _valid(position: Tensor, level: Level) -> Tensor:
    """True if the window around an atlas pixel lies inside its exemplar."""
    row, column = position // level.pitch % level.pitch, position % level.pitch
    last = level.exemplar - RADIUS
    return (row >= RADIUS) & (row < last) & (column >= RADIUS) & (column < last)


def _position(number: Tensor, level: Level) -> Tensor:
    """The valid atlas pixel of a number: exemplar by exemplar, row by row."""
    room = level.room
    owner, row, column = number // room**2, number // room % room, number % room
    return (owner * level.pitch + row + RADIUS) * level.pitch + column + RADIUS


def _bin(position: Tensor, level: Level) -> Tensor:
    return (
        position // level.pitch // level.cell * (level.pitch // level.cell)
        + position % level.pitch // level.cell
    )
