"""Colour operators in compiled code: brightness, contrast, saturation, hue, grey.

Planes and chunks are of levels times 256. Colours go through all operators in chunks that the fastest memory
holds, in float32.

Shapes: P numbers of a plane.
"""

import numpy as np

from texneg.jit import compiled

# The 24 orders of brightness, contrast, saturation and hue.
ORDERS = np.array(
    [[a, b, c, 6 - a - b - c] for a in range(4) for b in range(4) for c in range(4) if len({a, b, c}) == 3],
    np.int64,
)
BRIGHTNESS, CONTRAST, SATURATION, HUE, GREY = range(5)
NEUTRAL = np.array([1.0, 1.0, 1.0, 0.0])
RED, GREEN, BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
TOP = np.float32(255 * 256)
CHUNK = 1024  # numbers of each plane


@compiled()
def choose_steps(plan, start, end):  # type: ignore[no-untyped-def]
    """Choose the operators at places start to end of a plan that change anything; the fifth makes grey."""
    steps, n = np.empty(5, np.int64), 0
    for place in range(start, end):
        which = ORDERS[int(plan[9]), place] if place < 4 else GREY
        if plan[10] > 0 if which == GREY else plan[5 + which] != NEUTRAL[which]:
            steps[n] = which
            n += 1
    return steps[:n]


@compiled()
def adjust(planes, start, plan, steps, mean, chunks):  # type: ignore[no-untyped-def]
    """Apply operators to CHUNK numbers of each plane; `mean` is the mean grey value.

    They write to one of two chunks (3, CHUNK) in turn, and read the other one.
    """
    at, P, here, size = np.uint64(start), np.uint64(planes.size // 3), np.uint64(0), np.uint64(CHUNK)
    one, two = chunks[: 3 * CHUNK], chunks[3 * CHUNK :]
    for k in range(steps.size):
        which = steps[k]
        factor = ZERO if which == GREY else np.float32(plan[5 + which])
        if k == 0:
            apply(which, factor, mean, planes, at, P, one)
        elif k % 2 == 1:
            apply(which, factor, mean, one, here, size, two)
        else:
            apply(which, factor, mean, two, here, size, one)
    channels = np.uint64(1 if steps.size > 0 and steps[steps.size - 1] == GREY else 3)
    if steps.size > 0:
        store(one if steps.size % 2 == 1 else two, channels, planes, at, P)


@compiled()
def store(chunk, channels, planes, at, P):  # type: ignore[no-untyped-def]
    """Copy a chunk back, rounded where planes are of whole numbers."""
    rest = HALF if planes.itemsize == 2 else ZERO
    for c in range(channels):
        here, to = at + c * P, c * np.uint64(CHUNK)
        for i in range(np.uint64(CHUNK)):
            planes[here + i] = chunk[to + i] + rest


@compiled()
def apply(which, factor, mean, source, at, P, out):  # type: ignore[no-untyped-def]
    """Apply an operator to CHUNK numbers of three planes, P apart."""
    if which == SATURATION:
        saturate(factor, source, at, P, out)
    elif which == HUE:
        turn_hue(factor, source, at, P, out)
    elif which == GREY:
        make_grey(source, at, P, out)
    else:
        more = (ONE - factor) * mean if which == CONTRAST else ZERO
        for c in range(np.uint64(3)):
            blend(factor, more, source, at + c * P, out, c * np.uint64(CHUNK))


@compiled()
def clip(x):  # type: ignore[no-untyped-def]
    """Clip to the levels."""
    return min(max(x, ZERO), TOP)


@compiled()
def blend(factor, more, source, at, out, to):  # type: ignore[no-untyped-def]
    """Multiply by the factor, and add some more: brightness, and contrast."""
    for i in range(np.uint64(CHUNK)):
        out[to + i] = clip(factor * np.float32(source[at + i]) + more)


@compiled()
def add_up(planes, red, P, sums):  # type: ignore[no-untyped-def]
    """Add the rounded grey values of CHUNK pixels to sums."""
    green, blue = red + P, red + P + P
    for i in range(np.uint64(CHUNK)):
        r, g, b = np.float32(planes[red + i]), np.float32(planes[green + i]), np.float32(planes[blue + i])
        sums[i] += np.int32(RED * r + GREEN * g + BLUE * b + HALF)


@compiled()
def saturate(factor, source, red, P, out):  # type: ignore[no-untyped-def]
    """Blend with the grey image."""
    green, blue = red + P, red + P + P
    for i in range(np.uint64(CHUNK)):
        r, g, b = np.float32(source[red + i]), np.float32(source[green + i]), np.float32(source[blue + i])
        grey = (ONE - factor) * (RED * r + GREEN * g + BLUE * b)
        out[i] = clip(factor * r + grey)
        out[i + np.uint64(CHUNK)] = clip(factor * g + grey)
        out[i + np.uint64(2 * CHUNK)] = clip(factor * b + grey)


@compiled()
def make_grey(source, red, P, out):  # type: ignore[no-untyped-def]
    """Write the grey image in place of red."""
    green, blue = red + P, red + P + P
    for i in range(np.uint64(CHUNK)):
        r, g, b = np.float32(source[red + i]), np.float32(source[green + i]), np.float32(source[blue + i])
        out[i] = clip(RED * r + GREEN * g + BLUE * b)


@compiled()
def turn_hue(turn, source, red, P, out):  # type: ignore[no-untyped-def]
    """Rotate the hue of HSV by `turn` full turns, -1/2 ... 1/2, saturation and value unchanged."""
    green, blue = red + P, red + P + P
    for i in range(np.uint64(CHUNK)):
        r, g, b = np.float32(source[red + i]), np.float32(source[green + i]), np.float32(source[blue + i])
        top, low = max(r, g, b), min(r, g, b)
        # The place on the colour hexagon with sides as long as the chroma: red at 0, green at 2, blue at 4.
        chroma = top - low
        side, ahead = (b - r, np.float32(2)) if top == g else (r - g, np.float32(4))
        side, ahead = (g - b, ZERO) if top == r else (side, ahead)
        place, around = side + (ahead + np.float32(6) * turn) * chroma, np.float32(6) * chroma
        place = place + around if place < ZERO else place
        place = place - around if place >= around else place
        two = chroma + chroma
        from_cyan, from_green, from_blue = (
            abs(place - (two + chroma)),
            abs(place - two),
            abs(place - (two + two)),
        )
        out[i] = min(max(from_cyan + (low - chroma), low), top)
        out[i + np.uint64(CHUNK)] = min(max((low + two) - from_green, low), top)
        out[i + np.uint64(2 * CHUNK)] = min(max((low + two) - from_blue, low), top)
