"""The sweeps of one level in torch integer operations: all pixels of a colour class of a batch at once.

Shapes: T textures, F side of the output with its frame, n pixels of a class, A atlas pixels. The host waits
for nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from texneg.philox.tensors import below_tensor, philox_tensor
from texneg.textures.live.device_start import stream
from texneg.textures.live.plan import CLASSES, Level, Pass
from texneg.textures.purposes import Purpose
from texneg.textures.search import FRACTION
from texneg.textures.window import RADIUS, SIDE

_ORDER = 4  # bits below a cost that hold the candidate's number, so that ties keep the earlier


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
        key = stream(keys, Purpose.CANDIDATE, level.number, number)
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

    jumps = [_continued(source, rule.jump, side, level, row, column) for side in range(4)]
    found = torch.stack([present, *jumps], dim=3).flatten(1, 2)
    anywhere = _position(below_tensor(words[:, :, : rule.random], 2 * level.room**2), level)
    best = cheapest(torch.cat([found, anywhere], dim=2))
    around = 2 * rule.reach + 1
    product = words[:, :, rule.random : rule.random + rule.local] * around
    down, right = product >> 32, below_tensor(product & 0xFFFFFFFF, around)
    offset = (down - rule.reach) * level.pitch + right - rule.reach
    best = cheapest(torch.cat([best.unsqueeze(2), best.unsqueeze(2) + offset], dim=2)).unflatten(1, shape[1:])
    if rule.seam:
        best = torch.where(_continues(source, level, row, column), present, best)

    before, after = _bin(present.flatten(1), level), _bin(best.flatten(1), level)
    one = torch.ones_like(before)
    use.scatter_add_(1, before, -one).scatter_add_(1, after, one)
    source[pixels] = best
    image[pixels] = colours(atlas, best)


def _continued(source: Tensor, jump: int, side: int, level: Level, row: int, column: int) -> Tensor:
    """What the neighbour at distance `jump` on one side (left, above, right, below) would continue with."""
    down, right = ((0, -jump), (-jump, 0), (0, jump), (jump, 0))[side]
    return _neighbour(source, down, right, level, row, column) - down * level.pitch - right


def _continues(source: Tensor, level: Level, row: int, column: int) -> Tensor:
    """Whether the eight neighbours of each pixel of the class lie in its copy."""
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
    """Whether the window around an atlas pixel lies inside its exemplar."""
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
