"""The search of live textures as compiled code, one pixel after the other.

`places` and `starts` equal `exemplars.exemplar_places` and `start.start` for two exemplars of one size, whose
NumPy calls would take longer than the search of a small texture; `plan` names the one difference. T textures.
"""

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled
from texneg.philox.arrays import U64
from texneg.philox.compiled import below, fill_every_third, fill_words, fold_field, philox_words
from texneg.philox.streams import Stream
from texneg.textures.atlas import Tables
from texneg.textures.live.plan import CLASSES, Level
from texneg.textures.nearest import distances
from texneg.textures.search import FRACTION, continues, paint
from texneg.textures.start import TILE
from texneg.textures.window import RADIUS, SPARE

I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

_PLACE, _FIELD, _TILE = int(Stream.EXEMPLAR_PLACE), int(Stream.FIELD), int(Stream.TILE)
_CANDIDATE = int(Stream.CANDIDATE)
ORDER = 4  # bits of a key that hold the number of the candidate
_NUMBER = np.int64((1 << ORDER) - 1)
_NONE = np.int64(1 << 62)  # above every key
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


@compiled(inline="always")
def stream(key, purpose):  # type: ignore[no-untyped-def]
    """The key of a stream of one texture: `fold(key, purpose)`."""
    return fold_field(fold_field(0, key), purpose)


@compiled()
def texture_keys(base: int, index: U64, count: int) -> U64:
    """Keys of every texture, (N * count,): `base` extended by the index and the number of the negative."""
    keys = np.empty(len(index) * count, np.uint64)
    for n in range(len(index)):
        key = fold_field(base, index[n])
        for k in range(count):
            keys[n * count + k] = fold_field(key, k)
    return keys


@compiled(error_model="numpy")
def places(keys: U64, height: int, width: int, exemplar: int) -> I32:
    """(T, 2, 2) row and column in the image of both exemplars."""
    corners = np.empty((len(keys), 2, 2), np.int32)
    for t in range(len(keys)):
        words = philox_words(stream(keys[t], _PLACE), np.uint64(0))
        corners[t, 0, 0] = height // 2 - exemplar // 2
        corners[t, 0, 1] = width // 2 - exemplar // 2
        corners[t, 1, 0] = below(words[0], np.uint64(height - exemplar + 1))
        corners[t, 1, 1] = below(words[1], np.uint64(width - exemplar + 1))
    return corners


@compiled()
def draw_turns(keys: U64) -> I32:
    """(T, 2) turn of both exemplars, 0 to 7."""
    turns = np.empty((len(keys), 2), np.int32)
    for t in range(len(keys)):
        words = philox_words(stream(keys[t], _PLACE), np.uint64(0))
        turns[t, 0], turns[t, 1] = words[2] >> 29, words[3] >> 29
    return turns


def starts(keys: U64, level: Level) -> I32:
    """(T, side + 4, side + 4) framed maps of verbatim tiles."""
    field = _fields(keys, level.side)  # the second exemplar feeds what lies above the median
    middle = level.side**2 // 2
    second = field >= np.partition(field, middle, axis=1)[:, middle, None]
    return _tiles(keys, second, level.side, level.tile, level.room, level.pitch)


@compiled(error_model="numpy")
def _tiles(keys, second, side, tile, room, pitch):  # type: ignore[no-untyped-def]
    framed = side + 2 * RADIUS
    down = -(-framed // tile)
    drawn = 1 + (down + 1) * 4  # words a row of tiles: its shift; row and column in either exemplar
    words = np.empty(-(-down * drawn // 4) * 4, np.uint32)
    sources = np.empty((len(keys), framed, framed), np.int32)
    spare = np.uint64(room - tile + 1)
    for t in range(len(keys)):
        fill_words(words, stream(keys[t], _TILE), 0)
        for y in range(framed):
            row = y // tile
            shift = np.int64(below(np.uint64(words[row * drawn]), np.uint64(tile)))
            inner_y = min(max(y - RADIUS, 0), side - 1)
            for x in range(framed):
                inner_x = min(max(x - RADIUS, 0), side - 1)
                owner = np.int64(second[t, inner_y * side + inner_x])
                at = row * drawn + 1 + 4 * ((x + shift) // tile) + 2 * owner
                top = np.int64(below(np.uint64(words[at]), spare)) + RADIUS + owner * pitch
                left = np.int64(below(np.uint64(words[at + 1]), spare)) + RADIUS
                sources[t, y, x] = (top + y % tile) * pitch + left + (x + shift) % tile
    return sources


@compiled(error_model="numpy")
def _fields(keys, side):  # type: ignore[no-untyped-def]
    """A smooth random field for each texture, (T, side * side), no two values equal."""
    knots, pixels = side // TILE + 4, side * side
    noise = np.empty(-(-knots * knots // 4) * 4, np.uint32)
    boxed = np.empty((knots - 2, knots - 2), np.int64)
    field = np.empty((len(keys), pixels), np.int64)
    for t in range(len(keys)):
        fill_words(noise, fold_field(stream(keys[t], _FIELD), 1), 0)
        for y in range(knots - 2):
            for x in range(knots - 2):
                boxed[y, x] = 0
                for n in range(9):
                    boxed[y, x] += noise[(y + n // 3) * knots + x + n % 3] >> 16
        for y in range(side):
            top, low = y // TILE + 1, y % TILE
            bottom = min(top + 1, knots - 3)
            for x in range(side):
                left, part = x // TILE + 1, x % TILE
                right = min(left + 1, knots - 3)
                above = (TILE - part) * boxed[top, left] + part * boxed[top, right]
                beneath = (TILE - part) * boxed[bottom, left] + part * boxed[bottom, right]
                value = (TILE - low) * above + low * beneath
                field[t, y * side + x] = value * pixels + y * side + x
    return field


@compiled(error_model="numpy")
def refine_all(sources: I32, exemplars: I16, keys: U64, table: Tables, level: int, steps: I64) -> None:
    """All sweeps of a level, in place.

    Args:
        sources: (T, side + 4, side + 4) maps of atlas indices.
        exemplars: (T, 2, e, e, 3) at this level.
        keys: (T,) texture keys.
        table: of the atlas, for two exemplars.
        level: its number.
        steps: (P, 7) one row a pass: the fields of `plan.Pass`, then the penalty of a bin for each pixel.
    """
    side, slot = exemplars.shape[2], table.pitch * table.pitch
    atlas = np.zeros(len(table.valid) * 3 + SPARE, np.int16)
    for t in range(len(sources)):
        for owner in range(2):
            for y in range(side):
                for x in range(side):
                    for c in range(3):
                        at = 3 * (owner * slot + y * table.pitch + x) + c
                        atlas[at] = exemplars[t, owner, y, x, c]
        image = paint(sources[t], atlas)
        use = _count_use(sources[t], table.bins, len(table.fair))
        key = fold_field(stream(keys[t], _CANDIDATE), level)
        for number in range(len(steps)):
            _sweep(sources[t], image, use, atlas, table, fold_field(key, number), steps[number])


@compiled(error_model="numpy")
def to_image(found: I32, sources: I32, corners: I32, turns: I32, exemplar: int, pitch: int) -> None:
    """Fill (T, H, W) pixels y * W + x of the image from atlas indices, and corners and turns of exemplars."""
    for t in range(len(found)):
        for y in range(found.shape[1]):
            for x in range(found.shape[2]):
                row, column = divmod(sources[t, y + RADIUS, x + RADIUS], pitch)
                owner = row // pitch
                row -= owner * pitch
                turn = turns[t, owner]
                if turn & 4:
                    row, column = column, row
                if turn & 1:
                    row = exemplar - 1 - row
                if turn & 2:
                    column = exemplar - 1 - column
                top, left = corners[t, owner]
                found[t, y, x] = (top + row) * found.shape[2] + left + column


@compiled(error_model="numpy")
def _count_use(source: I32, bins: I32, count: int) -> I64:
    use = np.zeros(count, np.int64)
    for y in range(RADIUS, source.shape[0] - RADIUS):
        for x in range(RADIUS, source.shape[1] - RADIUS):
            use[bins[source[y, x]]] += 1
    return use


@compiled(error_model="numpy")
def _sweep(source, image, use, atlas, table, key, rule):  # type: ignore[no-untyped-def]
    """Nine colour classes, one after the other; use is frozen while a class decides."""
    before = np.empty_like(use)
    for row, column in CLASSES:
        for place in range(len(use)):
            before[place] = use[place]
        _class(source, image, before, use, atlas, table, key, rule, row, column)


@compiled(error_model="numpy")
def _class(source, image, before, use, atlas, table, key, rule, row, column):  # type: ignore[no-untyped-def]
    """One colour class, pixel after pixel, with almost no branch that depends on the image."""
    pitch, flat = source.shape[1], source.ravel()
    side = pitch - 2 * RADIUS
    atlas_pitch, valid, last = table.pitch, table.valid, np.int64(len(table.valid) - 1)
    jump, random, local, reach, seam, step = rule[0], rule[1], rule[2], rule[3], rule[5], rule[6]
    around, anywhere = np.uint64(2 * reach + 1), np.uint64(len(table.positions))
    near = (-jump, -jump * pitch, jump, jump * pitch)
    onwards = (jump, jump * atlas_pitch, -jump, -jump * atlas_pitch)
    words = np.empty((-(-side // 3), 4), np.uint32)
    candidates = np.empty(1 << ORDER, np.int64)
    costs = before * (step << ORDER)

    for y in range(row, side, 3):
        fill_every_third(words, key, y * side + column)
        for x in range(column, side, 3):
            n = (y + RADIUS) * pitch + x + RADIUS
            if seam and continues(flat, n, pitch, atlas_pitch, 1):
                continue
            drawn = words[np.uintp(x // 3)]
            present = np.int64(flat[np.uintp(n)])
            candidates[0] = present
            for k in range(4):
                candidate = flat[np.uintp(n + near[k])] + onwards[k]
                candidate = min(max(candidate, np.int64(0)), last)
                candidates[np.uintp(1 + k)] = present + (candidate - present) * valid[np.uintp(candidate)]
            for k in range(random):
                place = below(np.uint64(drawn[np.uintp(k)]), anywhere)
                candidates[np.uintp(5 + k)] = table.positions[np.uintp(place)]
            five = (candidates[0], candidates[1], candidates[2], candidates[3], candidates[4])
            found = distances(image, n, pitch, atlas, five, atlas_pitch)
            least = _NONE
            for k in range(5):
                least = min(least, _key(found[k], five[k], k, table.bins, costs))
            least = _least(least, candidates, 5, random, image, n, pitch, atlas, table, costs)
            best = candidates[np.uintp(least & _NUMBER)]
            for k in range(local):
                product = np.uint64(drawn[np.uintp(random + k)]) * around
                down = np.int64(product >> _32) - reach
                right = np.int64(((product & _LOW) * around) >> _32) - reach
                candidate = min(max(best + down * atlas_pitch + right, np.int64(0)), last)
                candidate = best + (candidate - best) * valid[np.uintp(candidate)]
                candidates[np.uintp(5 + random + k)] = candidate
            least = _least(least, candidates, 5 + random, local, image, n, pitch, atlas, table, costs)
            best = candidates[np.uintp(least & _NUMBER)]
            flat[np.uintp(n)] = best
            for c in range(3):
                image[np.uintp(3 * n + c)] = atlas[np.uintp(3 * best + c)]
            use[np.uintp(table.bins[np.uintp(present)])] -= 1
            use[np.uintp(table.bins[np.uintp(best)])] += 1


@compiled(error_model="numpy", inline="always")
def _least(least, candidates, first, count, image, n, pitch, atlas, table, costs):  # type: ignore[no-untyped-def]
    """The least of a key and those of `count` candidates, two at a time."""
    for k in range(first, first + count, 2):
        other = min(k + 1, first + count - 1)
        two = (candidates[np.uintp(k)], candidates[np.uintp(other)])
        found = distances(image, n, pitch, atlas, two, table.pitch)
        least = min(least, _key(found[0], two[0], k, table.bins, costs))
        least = min(least, _key(found[1], two[1], other, table.bins, costs))
    return least


@compiled(error_model="numpy", inline="always")
def _key(distance, candidate, number, bins, costs):  # type: ignore[no-untyped-def]
    """Cost and, in the low bits, number: the least key is the cheapest candidate, the earliest of equals."""
    return (distance << (FRACTION + ORDER)) + costs[np.uintp(bins[np.uintp(candidate)])] + number
