"""Where live exemplars are cut and where their search starts, in torch integer operations on any device.

T textures; keys are (T,) int64, the bits of the plan's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from texneg.philox.tensors import below_tensor, fold_tensor, philox_tensor
from texneg.textures.live.plan import Level
from texneg.textures.purposes import Purpose
from texneg.textures.start import TILE
from texneg.textures.window import RADIUS


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


def places(keys: Tensor, height: int, width: int, exemplar: int) -> tuple[Tensor, Tensor]:
    """Row and column in the image of both exemplars, each (T, 2)."""
    drawn = words(stream(keys, Purpose.EXEMPLAR_PLACE), 2)
    rows = below_tensor(drawn[:, 0], height - exemplar + 1)
    columns = below_tensor(drawn[:, 1], width - exemplar + 1)
    top = torch.full_like(rows, height // 2 - exemplar // 2)
    left = torch.full_like(columns, width // 2 - exemplar // 2)
    return torch.stack([top, rows], dim=1), torch.stack([left, columns], dim=1)


def starts(keys: Tensor, level: Level) -> Tensor:
    """(T, side + 4, side + 4) int64 framed maps of verbatim tiles."""
    tile, framed = level.tile, level.framed
    down = -(-framed // tile)
    across = down + 1
    drawn = words(stream(keys, Purpose.TILE), down * (1 + 4 * across)).unflatten(1, (down, -1))
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
    noise = words(stream(keys, Purpose.FIELD, 1), knots * knots).unflatten(1, (knots, knots)) >> 16
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
