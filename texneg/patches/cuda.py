"""Patch negatives by two Triton kernels: one draws the plans, one copies pixels as they say.

The plans of a batch are a table of int32 with a row for each negative: the patch side d, `2^30 // side + 1`
of the tile's side, then for each tile `corner << 3 | turn`. The corner is the flat position of the patch's
first pixel in the image, below `MAX_PIXELS`, 2^26; the second number divides by the tile's side with a
multiplication (`_over`). A blended pixel is a mixture of at most four pixels of the image, each found by the
plan. With a lookup table of 256 values for each channel, bytes become network input on the way.

Importing this module imports Triton. Shapes: N images, k negatives each, C H W image, T tiles at most.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from texneg.patches.device import draw_plans
from texneg.patches.plan import Rule, Source, tiling
from texneg.philox.cuda import below, fold
from texneg.philox.tensors import signed

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_FLOATS = {torch.float32: tl.float32, torch.float64: tl.float64}  # that are blended as they are
_HEAD = tl.constexpr(2)  # numbers before the tiles in a row of the table
_PAIRS = 64  # tile pairs of one program that draws plans
_ROWS = 32  # image rows that one program copies
_MOST_PLANES = 4  # and planes, at most
_INT32 = 1 << 31  # elements of an image from which on they are numbered in int64


@torch.no_grad()
def shuffle(
    images: Tensor,
    count: int,
    index: Tensor,
    rule: Rule,
    *,
    lookup: Tensor | None = None,
    channels_last: bool = False,
) -> Tensor:
    """(N, k, C, H, W) negatives of (N, C, H, W) images; arguments checked by the caller.

    Contiguous and channels_last images are read where they are, others from a copy. Nothing waits for the
    device. The copy is compiled for each C, H, W.

    Args:
        images: on a CUDA device, or on the CPU in Triton's interpreter.
        count: k >= 1.
        index: (N,) int64 on the device of the images.
        rule: how plans are drawn.
        lookup: (C, 256) on the device of the images, which are uint8: what each byte becomes.
        channels_last: whether the channel is the innermost dimension of the result's memory.
    """
    N, C, H, W = images.shape
    dtype = images.dtype if lookup is None else lookup.dtype
    shape = (N, count, H, W, C) if channels_last else (N, count, C, H, W)
    out = torch.empty(shape, dtype=dtype, device=images.device)
    if out.numel():
        with torch.cuda.device_of(images):
            table = _plan_table(index, count, H, W, rule)
            _copy(images.detach(), out, table, lookup, channels_last, rule)
    return out.permute(0, 1, 4, 2, 3) if channels_last else out


def _plan_table(index: Tensor, count: int, H: int, W: int, rule: Rule) -> Tensor:
    """(N * k, 2 + T) int32."""
    if rule.source not in (Source.CROPS, Source.PAPER):
        plans = draw_plans(index, count, H, W, rule)
        tiles = (plans.tops * W + plans.lefts) << 3
        tiles = tiles if plans.turns is None else tiles | plans.turns
        return torch.cat([plans.d, (1 << 30) // plans.side + 1, tiles], dim=-1).flatten(0, 1).to(torch.int32)
    rows, columns = tiling(H, W, rule.lo * rule.mirror, rule.source)
    T = rows * columns
    table = torch.empty(len(index) * count, 2 + T, dtype=torch.int32, device=index.device)
    _plan_kernel[(len(table), triton.cdiv(T, 2 * _PAIRS))](
        table,
        index.contiguous(),
        signed(rule.base),
        count,
        T,
        H,
        W,
        rule.lo,
        rule.hi - rule.lo + 1,
        PLACES=0 if rule.source == Source.PAPER else 1,
        FLIP=rule.flip,
        ROTATE=rule.rotate,
        MIRROR=rule.mirror,
        PAIRS=_PAIRS,
    )
    return table


def _copy(
    images: Tensor, out: Tensor, table: Tensor, lookup: Tensor | None, channels_last: bool, rule: Rule
) -> None:
    """Fill out, (N, k, C, H, W) or (N, k, H, W, C), as the table says."""
    N, C, H, W = images.shape
    interleaved = images.is_contiguous(memory_format=torch.channels_last)
    planes, inner = (1, C) if channels_last else (C, 1)
    group = next(size for size in range(_MOST_PLANES, 0, -1) if planes % size == 0)
    columns, warps = (32, 8) if group > 2 else (64, 2)  # some ten elements a thread
    blocks = planes // group * triton.cdiv(H, _ROWS) * triton.cdiv(W * inner, columns)
    bits = _BITS[out.element_size()]
    _copy_kernel[(len(table) * blocks,)](
        (images if interleaved else images.contiguous()).view(_BITS[images.element_size()]),
        out.view(bits),
        table,
        None if lookup is None else lookup.contiguous().view(bits),
        len(table) // N,
        table.shape[1],
        H=H,
        W=W,
        C=C,
        PLANES=planes,
        GROUP=group,
        CHANNEL_STEP=1 if interleaved else H * W,
        PIXEL_STEP=C if interleaved else 1,
        ONE_MORE=rule.source == Source.PAPER,
        TURNED=rule.flip or rule.rotate,
        MIRROR=rule.mirror,
        BLEND=rule.blend,
        FLOAT=_FLOATS.get(images.dtype) if rule.blend else None,
        WIDE=C * H * W >= _INT32,
        LOOKUP=lookup is not None,
        ROWS=_ROWS,
        COLUMNS=columns,
        num_warps=warps,
        **({"enable_fp_fusion": False} if rule.blend else {}),  # each operation is rounded, as on the CPU
    )


@triton.jit(do_not_specialize=["base", "count", "tiles", "lo", "sides"])
def _plan_kernel(  # type: ignore[no-untyped-def]
    table,
    index,
    base,
    count,
    tiles,
    H,
    W,
    lo,
    sides,
    PLACES: tl.constexpr,
    FLIP: tl.constexpr,
    ROTATE: tl.constexpr,
    MIRROR: tl.constexpr,
    PAIRS: tl.constexpr,
):
    """Part of a row of the table: PAIRS pairs of independent crops."""
    negative = tl.program_id(0)
    key = fold(base.to(tl.uint64), tl.load(index + negative // count).to(tl.uint64))
    key = fold(key, (negative % count).to(tl.uint64))
    first, _, _, _ = tl.randint4x(key, negative * 0)
    d = lo + below(first, sides)
    heights, widths = tl.maximum(H - d + PLACES, 1), tl.maximum(W - d + PLACES, 1)
    pair = tl.program_id(1) * PAIRS + tl.arange(0, PAIRS)
    y0, x0, y1, x1 = tl.randint4x(key, 1 + pair)
    even = (below(y0, heights) * W + below(x0, widths)) << 3
    odd = (below(y1, heights) * W + below(x1, widths)) << 3
    if FLIP or ROTATE:
        t0, t1, t2, t3 = tl.randint4x(key, (pair // 2).to(tl.uint32) + 0x80000000)
        low = pair % 2 == 0
        even |= _turn(tl.where(low, t0, t2), FLIP, ROTATE)
        odd |= _turn(tl.where(low, t1, t3), FLIP, ROTATE)
    row = table + negative.to(tl.int64) * (_HEAD + tiles)
    tl.store(row + _HEAD + 2 * pair, even, mask=2 * pair < tiles)
    tl.store(row + _HEAD + 2 * pair + 1, odd, mask=2 * pair + 1 < tiles)
    if tl.program_id(1) == 0:
        tl.store(row, d)
        tl.store(row + 1, (1 << 30) // (d * MIRROR) + 1)


@triton.jit
def _turn(word, FLIP: tl.constexpr, ROTATE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The turn of a patch, from its word."""
    turn = (word >> 31) * FLIP + (word >> 29 & 3) * (2 * ROTATE)
    return turn.to(tl.int32)


@triton.jit
def _over(a, inverse):  # type: ignore[no-untyped-def]
    """Divide by d, inverse = 2^30 // d + 1: exact where a * d < 2^30, as a < max(H, W), d <= 8 min(H, W)."""
    return tl.umulhi((4 * a).to(tl.uint32), inverse.to(tl.uint32)).to(tl.int32)


@triton.jit
def _copy_kernel(  # type: ignore[no-untyped-def]
    source,
    out,
    table,
    lookup,
    count,
    row_size,
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,
    PLANES: tl.constexpr,
    GROUP: tl.constexpr,
    CHANNEL_STEP: tl.constexpr,
    PIXEL_STEP: tl.constexpr,
    ONE_MORE: tl.constexpr,
    TURNED: tl.constexpr,
    MIRROR: tl.constexpr,
    BLEND: tl.constexpr,
    FLOAT: tl.constexpr,
    WIDE: tl.constexpr,
    LOOKUP: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """ROWS x COLUMNS elements of GROUP planes of one negative.

    The output is PLANES planes (C or 1) of H x (W * INNER) elements (INNER 1 or C), and a column is an
    element of it, not a pixel: so it is written in the order of its memory in either layout.
    """
    INNER: tl.constexpr = C // PLANES
    ACROSS: tl.constexpr = (W * INNER + COLUMNS - 1) // COLUMNS
    DOWN: tl.constexpr = (H + ROWS - 1) // ROWS
    GROUPS: tl.constexpr = PLANES // GROUP
    program = tl.program_id(0)
    element = program % ACROSS * COLUMNS + tl.arange(0, COLUMNS)
    y = program // ACROSS % DOWN * ROWS + tl.arange(0, ROWS)
    plane = (program // (ACROSS * DOWN) % GROUPS * GROUP).to(tl.int64)
    negative = (program // (ACROSS * DOWN * GROUPS)).to(tl.int64)
    x, channel = element // INNER, element % INNER
    inside = (y < H)[:, None] & (element < W * INNER)[None, :]

    plan = table + negative * row_size
    d, inverse = tl.load(plan), tl.load(plan + 1)
    side = d * MIRROR
    columns = W // side + 1 if ONE_MORE else (W + side - 1) // side
    step = channel[None, :] * CHANNEL_STEP
    taken = _locate(y, x, plan, d, inverse, columns, inside, W, TURNED, MIRROR, WIDE) * PIXEL_STEP + step
    if BLEND:
        depth = d * BLEND >> 9
        over_y, cy = _across(y, side, inverse, depth, H)
        over_x, cx = _across(x, side, inverse, depth, W)
        beside = _locate(y, over_x, plan, d, inverse, columns, inside, W, TURNED, MIRROR, WIDE)
        below_ = _locate(over_y, x, plan, d, inverse, columns, inside, W, TURNED, MIRROR, WIDE)
        cross = _locate(over_y, over_x, plan, d, inverse, columns, inside, W, TURNED, MIRROR, WIDE)
        beside = beside * PIXEL_STEP + step - taken
        below_ = below_ * PIXEL_STEP + step - taken
        cross = cross * PIXEL_STEP + step - taken
        cy, cx = cy[:, None], cx[None, :]
    else:
        beside, below_, cross, cy, cx = 0, 0, 0, 0, 0
    if WIDE:
        y, element = y.to(tl.int64), element.to(tl.int64)
    given = (y * (W * INNER))[:, None] + element[None, :]
    entry = (plane + channel)[None, :] * 256
    here = source + negative // count * (C * H * W) + plane * CHANNEL_STEP + taken
    there = out + (negative * PLANES + plane) * (H * W * INNER) + given
    # Every plane is loaded before one is stored: no load may overtake a store, as they might be of one place.
    value0 = _pixel(here, beside, below_, cross, cy, cx, inside, BLEND, FLOAT)
    value0 = _look_up(value0, lookup, entry, inside, LOOKUP)
    if GROUP > 1:
        value1 = _pixel(here + CHANNEL_STEP, beside, below_, cross, cy, cx, inside, BLEND, FLOAT)
        value1 = _look_up(value1, lookup, entry + 256, inside, LOOKUP)
    if GROUP > 2:
        value2 = _pixel(here + 2 * CHANNEL_STEP, beside, below_, cross, cy, cx, inside, BLEND, FLOAT)
        value2 = _look_up(value2, lookup, entry + 512, inside, LOOKUP)
    if GROUP > 3:
        value3 = _pixel(here + 3 * CHANNEL_STEP, beside, below_, cross, cy, cx, inside, BLEND, FLOAT)
        value3 = _look_up(value3, lookup, entry + 768, inside, LOOKUP)
    tl.store(there, value0, mask=inside)
    if GROUP > 1:
        tl.store(there + H * W * INNER, value1, mask=inside)
    if GROUP > 2:
        tl.store(there + 2 * H * W * INNER, value2, mask=inside)
    if GROUP > 3:
        tl.store(there + 3 * H * W * INNER, value3, mask=inside)


@triton.jit
def _locate(  # type: ignore[no-untyped-def]
    y,
    x,
    plan,
    d,
    inverse,
    columns,
    inside,
    W: tl.constexpr,
    TURNED: tl.constexpr,
    MIRROR: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Flat positions in the image of the pixels of rows y and columns x, before seams are blended."""
    side = d * MIRROR
    tile_y, tile_x = _over(y, inverse), _over(x, inverse)
    tile = (tile_y * columns)[:, None] + tile_x[None, :]
    place = tl.load(plan + _HEAD + tile, mask=inside, other=0)
    i, j = y - tile_y * side, x - tile_x * side
    if MIRROR > 1:
        i, j = i % (2 * d), j % (2 * d)
        i, j = tl.minimum(i, 2 * d - 1 - i), tl.minimum(j, 2 * d - 1 - j)
    i, j = i[:, None], j[None, :]
    if TURNED:
        mirrored, odd, half = place & 1, place >> 1 & 1, place >> 2 & 1
        i, j = tl.where(odd == 1, j, i), tl.where(odd == 1, i, j)
        i = tl.where(half == 1, d - 1 - i, i)
        j = tl.where((half ^ odd ^ mirrored) == 1, d - 1 - j, j)
    pixel = (place >> 3) + i * W + j
    return pixel.to(tl.int64) if WIDE else pixel


@triton.jit
def _across(place, side, inverse, depth, LENGTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """The mirror images of places across the nearest seam, with their 256ths; itself and 0 elsewhere."""
    before = _over(place, inverse) * side
    after = before + side
    u0, u1 = place - before, after - 1 - place
    reach0, reach1 = tl.minimum(depth, LENGTH - before), tl.minimum(depth, LENGTH - after)
    near0, near1 = (before > 0) & (u0 < reach0), u1 < reach1
    over = tl.where(near0, 2 * before - 1 - place, tl.where(near1, 2 * after - 1 - place, place))
    u, reach = tl.where(near0, u0, u1), tl.maximum(tl.where(near0, reach0, reach1), 1)
    return over, tl.where(near0 | near1, 64 * (2 * (reach - u) - 1) // reach, 0)


@triton.jit
def _pixel(  # type: ignore[no-untyped-def]
    pointers, beside, below_, cross, cy, cx, inside, BLEND: tl.constexpr, FLOAT: tl.constexpr
):
    """Load elements; near seams, mix them with those beside, below and across the corner."""
    value = tl.load(pointers, mask=inside)
    if BLEND:
        row = _mix(value, tl.load(pointers + beside, mask=inside), cx, FLOAT)
        below_row = tl.load(pointers + below_, mask=inside)
        other = _mix(below_row, tl.load(pointers + cross, mask=inside), cx, FLOAT)
        value = _mix(row, other, cy, FLOAT)
    return value


@triton.jit
def _mix(a, b, c, FLOAT: tl.constexpr):  # type: ignore[no-untyped-def]
    """Mix elements with c / 256 of others: whole numbers of 8 or 16 bits, floats from their bits."""
    if FLOAT is None:
        mask = (1 << a.dtype.primitive_bitwidth) - 1
        whole = (256 - c) * (a.to(tl.int32) & mask) + c * (b.to(tl.int32) & mask) + 128 >> 8
        return whole.to(a.dtype)
    own, other = a.to(FLOAT, bitcast=True), b.to(FLOAT, bitcast=True)
    mixed = own + (other - own) * (c.to(FLOAT) / 256)
    return tl.where(c == 0, a, mixed.to(a.dtype, bitcast=True))


@triton.jit
def _look_up(value, lookup, entry, inside, LOOKUP: tl.constexpr):  # type: ignore[no-untyped-def]
    """The lookup table's values for bytes, if there is a table."""
    return tl.load(lookup + entry + value.to(tl.int32), mask=inside) if LOOKUP else value
