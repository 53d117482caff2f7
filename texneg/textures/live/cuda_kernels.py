"""Triton kernels of live textures: one thread decides one pixel.

A colour is one word of four bytes (the last is 0), so that the product of two windows is 25 instructions
where the device multiplies bytes. Importing this imports Triton. Shapes: T textures.
"""

import triton
import triton.language as tl

from texneg.philox.cuda import below, fold
from texneg.textures.search import FRACTION
from texneg.textures.window import RADIUS, SIDE

_RADIUS, _SIDE, _FRACTION = tl.constexpr(RADIUS), tl.constexpr(SIDE), tl.constexpr(FRACTION)
_DP4A = tl.constexpr("dp4a.u32.u32 $0, $1, $2, $3;")  # $3 and the products of the bytes of $1 and $2
_REGISTERS = tl.constexpr("=r,r,r,r")


@triton.jit
def start_kernel(  # type: ignore[no-untyped-def]
    start,
    source,
    image,
    colours,
    use,
    COARSE: tl.constexpr,
    SIZE: tl.constexpr,
    PITCH: tl.constexpr,
    CELL: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """The map, doubled where COARSE is a side above 0; its colours; how many pixels each bin feeds."""
    FRAMED: tl.constexpr = SIZE + 2 * _RADIUS
    texture = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    there = pixel < FRAMED * FRAMED
    y, x = pixel // FRAMED, pixel % FRAMED
    if COARSE:
        near = (y + _RADIUS) // 2 * (COARSE + 2 * _RADIUS) + (x + _RADIUS) // 2
        start += texture * (COARSE + 2 * _RADIUS) * (COARSE + 2 * _RADIUS)
        position = tl.load(start + near, mask=there, other=0)
        row, column = position // (PITCH // 2), position % (PITCH // 2)
        position = (2 * row + y % 2) * PITCH + 2 * column + x % 2
    else:
        position = tl.load(start + texture * FRAMED * FRAMED + pixel, mask=there, other=0)
    tl.store(source + texture * FRAMED * FRAMED + pixel, position, mask=there)
    colour = tl.load(colours + texture * 2 * PITCH * PITCH + position, mask=there)
    tl.store(image + texture * FRAMED * FRAMED + pixel, colour, mask=there)
    counted = (y >= _RADIUS) & (y < SIZE + _RADIUS) & (x >= _RADIUS) & (x < SIZE + _RADIUS)
    bins = use + texture * _bins(PITCH, CELL)
    tl.atomic_add(bins + _bin(position, PITCH, CELL), counted.to(tl.int32), mask=counted, sem="relaxed")


@triton.jit(do_not_specialize=["textures", "level"])
def stream_kernel(streams, keys, textures, purpose, level, TEXTURES: tl.constexpr):  # type: ignore[no-untyped-def]
    """Keys of the candidates' streams, (passes, T): `fold(texture key, purpose, level, pass)`."""
    texture = tl.program_id(0) * TEXTURES + tl.arange(0, TEXTURES)
    number = tl.program_id(1)
    there = texture < textures
    key = tl.load(keys + texture, mask=there, other=0).to(tl.uint64)
    nothing = key * 0
    key = fold(fold(nothing, key), nothing + purpose)
    key = fold(fold(key, nothing + level), nothing + number)
    tl.store(streams + number * textures + texture, key.to(tl.int64), mask=there)


@triton.jit(do_not_specialize=["row", "column", "jump", "step"])
def class_kernel(  # type: ignore[no-untyped-def]
    source,
    image,
    colours,
    before,
    use,
    keys,
    row,
    column,
    jump,
    step,
    SIZE: tl.constexpr,
    EXEMPLAR: tl.constexpr,
    PITCH: tl.constexpr,
    CELL: tl.constexpr,
    RANDOM: tl.constexpr,
    LOCAL: tl.constexpr,
    REACH: tl.constexpr,
    SEAM: tl.constexpr,
    PIXELS: tl.constexpr,
    BYTEWISE: tl.constexpr,
):
    """PIXELS pixels of the class at (row, column) of one texture decide and move."""
    FRAMED: tl.constexpr = SIZE + 2 * _RADIUS
    THIRD: tl.constexpr = (SIZE + 2) // 3
    BLOCKS: tl.constexpr = (THIRD * THIRD + PIXELS - 1) // PIXELS
    ROOM: tl.constexpr = EXEMPLAR - 2 * _RADIUS
    AROUND: tl.constexpr = 2 * REACH + 1
    texture = (tl.program_id(0) // BLOCKS).to(tl.int64)
    n = tl.program_id(0) % BLOCKS * PIXELS + tl.arange(0, PIXELS)
    y, x = row + n // THIRD * 3, column + n % THIRD * 3
    active = (y < SIZE) & (x < SIZE)
    source += texture * FRAMED * FRAMED
    image += texture * FRAMED * FRAMED
    colours += texture * 2 * PITCH * PITCH
    before += texture * _bins(PITCH, CELL)
    use += texture * _bins(PITCH, CELL)

    here = (y + _RADIUS) * FRAMED + x + _RADIUS
    present = tl.load(source + here, mask=active, other=0)
    if SEAM:
        apart = active & (n < 0)
        for k in tl.static_range(9):
            there = tl.load(source + here + (k // 3 - 1) * FRAMED + k % 3 - 1, mask=active, other=0)
            apart |= there != present + (k // 3 - 1) * PITCH + k % 3 - 1
        active &= apart

    own = image + tl.where(active, here - _RADIUS * (FRAMED + 1), 0)
    word0, word1, word2, word3 = tl.randint4x(tl.load(keys + texture), y * SIZE + x)
    best = present
    least = _cost(own, colours, before, present, active, step, FRAMED, PITCH, CELL, BYTEWISE)
    for k in tl.static_range(4 + RANDOM):
        if k < 4:
            down, right = (k % 2) * (k - 2) * jump, (1 - k % 2) * (k - 1) * jump
            candidate = tl.load(source + here + down * FRAMED + right, mask=active, other=0)
            candidate -= down * PITCH + right
        else:
            place = below(_word(word0, word1, word2, word3, k - 4), 2 * ROOM * ROOM)
            candidate = place // (ROOM * ROOM) * PITCH + place // ROOM % ROOM + _RADIUS
            candidate = candidate * PITCH + place % ROOM + _RADIUS
        valid = active & _valid(candidate, EXEMPLAR, PITCH)
        cost = _cost(own, colours, before, candidate, valid, step, FRAMED, PITCH, CELL, BYTEWISE)
        closer = valid & (cost < least)
        best, least = tl.where(closer, candidate, best), tl.where(closer, cost, least)
    centre = best
    for k in tl.static_range(LOCAL):
        place = below(_word(word0, word1, word2, word3, RANDOM + k), AROUND * AROUND)
        candidate = centre + (place // AROUND - REACH) * PITCH + place % AROUND - REACH
        valid = active & _valid(candidate, EXEMPLAR, PITCH)
        cost = _cost(own, colours, before, candidate, valid, step, FRAMED, PITCH, CELL, BYTEWISE)
        closer = valid & (cost < least)
        best, least = tl.where(closer, candidate, best), tl.where(closer, cost, least)

    moved = active & (best != present)
    tl.store(source + here, best, mask=moved)
    tl.store(image + here, tl.load(colours + best, mask=moved), mask=moved)
    one = moved.to(tl.int32)
    tl.atomic_add(use + _bin(present, PITCH, CELL), -one, mask=moved, sem="relaxed")
    tl.atomic_add(use + _bin(best, PITCH, CELL), one, mask=moved, sem="relaxed")


@triton.jit
def _cost(  # type: ignore[no-untyped-def]
    own,
    colours,
    before,
    candidate,
    valid,
    step,
    FRAMED: tl.constexpr,
    PITCH: tl.constexpr,
    CELL: tl.constexpr,
    BYTEWISE: tl.constexpr,
):
    """The plan's cost less what all candidates of a pixel share: of (a - b)^2 = aa + b (b - 2a) the first."""
    candidate = tl.where(
        valid, candidate, _RADIUS * (PITCH + 1)
    )  # a window to read, so that no load is masked
    theirs = colours + candidate - _RADIUS * (PITCH + 1)
    if BYTEWISE:
        squares, products = candidate * 0, candidate * 0
        for down in tl.static_range(_SIDE):
            for right in tl.static_range(_SIDE):
                a = tl.load(own + (down * FRAMED + right))
                b = tl.load(theirs + (down * PITCH + right))
                squares = tl.inline_asm_elementwise(_DP4A, _REGISTERS, [b, b, squares], tl.int32, True, 1)
                products = tl.inline_asm_elementwise(_DP4A, _REGISTERS, [a, b, products], tl.int32, True, 1)
        difference = squares - 2 * products
    else:
        place = tl.arange(0, 32)[None, :]
        inside = place < _SIDE * _SIDE
        down, right = place // _SIDE, place % _SIDE
        a = tl.load(own[:, None] + (down * FRAMED + right), mask=inside, other=0)
        b = tl.load(theirs[:, None] + (down * PITCH + right), mask=inside, other=0)
        red, green, blue = b & 255, b >> 8 & 255, b >> 16
        difference = red * (red - 2 * (a & 255)) + green * (green - 2 * (a >> 8 & 255))
        difference = tl.sum(difference + blue * (blue - 2 * (a >> 16)), axis=1)
    used = tl.load(before + _bin(candidate, PITCH, CELL))
    return (difference << _FRACTION) + used.to(tl.int64) * step


@triton.jit
def _word(word0, word1, word2, word3, number: tl.constexpr):  # type: ignore[no-untyped-def]
    if number == 0:
        word = word0
    elif number == 1:
        word = word1
    elif number == 2:
        word = word2
    else:
        word = word3
    return word


@triton.jit
def _valid(position, EXEMPLAR: tl.constexpr, PITCH: tl.constexpr):  # type: ignore[no-untyped-def]
    """True if a position lies in the atlas and the window around it in its exemplar."""
    row, column = position // PITCH % PITCH, position % PITCH
    inside = (row >= _RADIUS) & (row < EXEMPLAR - _RADIUS)
    inside &= (column >= _RADIUS) & (column < EXEMPLAR - _RADIUS)
    return inside & (position >= 0) & (position < 2 * PITCH * PITCH)


@triton.jit
def _bin(position, PITCH: tl.constexpr, CELL: tl.constexpr):  # type: ignore[no-untyped-def]
    return position // PITCH // CELL * (PITCH // CELL) + position % PITCH // CELL


@triton.jit
def _bins(PITCH: tl.constexpr, CELL: tl.constexpr):  # type: ignore[no-untyped-def]
    return 2 * (PITCH // CELL) * (PITCH // CELL)


@triton.jit(do_not_specialize=["height", "width"])
def pixel_kernel(  # type: ignore[no-untyped-def]
    found,
    source,
    tops,
    lefts,
    turns,
    height,
    width,
    SIZE: tl.constexpr,
    EXEMPLAR: tl.constexpr,
    PITCH: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Pixels y * W + x of the image, (T, H, W), from atlas indices; corners and turns of exemplars (T, 2)."""
    texture = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    there = pixel < height * width
    framed = (pixel // width + _RADIUS) * (SIZE + 2 * _RADIUS) + pixel % width + _RADIUS
    source += texture * (SIZE + 2 * _RADIUS) * (SIZE + 2 * _RADIUS)
    position = tl.load(source + framed, mask=there, other=0)
    row, column = position // PITCH, position % PITCH
    owner = texture * 2 + row // PITCH
    top, left = tl.load(tops + owner, mask=there, other=0), tl.load(lefts + owner, mask=there, other=0)
    turn = tl.load(turns + owner, mask=there, other=0)
    row = row % PITCH
    down, right = tl.where(turn & 4 != 0, column, row), tl.where(turn & 4 != 0, row, column)
    down = tl.where(turn & 1 != 0, EXEMPLAR - 1 - down, down)
    right = tl.where(turn & 2 != 0, EXEMPLAR - 1 - right, right)
    tl.store(found + texture * height * width + pixel, (top + down) * width + left + right, mask=there)
