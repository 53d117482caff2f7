"""The definition of a live texture, which every executor follows to the byte.

The method of `texneg.textures.texture` (a coordinate map refined from coarse to fine, after Barnes et al.,
"PatchMatch", SIGGRAPH 2009) with the serial scan replaced by sweeps whose pixels decide in parallel. All
numbers are integers and every draw has an address, so the map is a function of the image and of (seed, epoch,
index, k) alone. `cpu`, `device` and `cuda` execute this plan.

    texture key   fold(seed, epoch, Stream.LIVE_TEXTURES, index, k). A stream is fold(texture key, purpose,
                  ...) with a purpose of `philox.streams`; `word i` is word i % 4 of Philox block i // 4.
    exemplars     two squares of side e: one at the image's centre, one at a uniform place, both by
                  `exemplars.exemplar_places` with the texture key as its seed. With `turn` square k is turned
                  as the highest three bits of word 2 + k of that stream say: pixel (y, x) of the exemplar is
                  pixel (v, u) of the square, (v, u) = (x, y) for bit 4 and (y, x) else, then v = e - 1 - v
                  for bit 1, u = e - 1 - u for bit 2.
    atlas         the two, one below the other in slots of side `pitch`, halved level by level
                  (`atlas.halve`). Pixels are named by their linear index, y * pitch + x.
    start         at the coarsest level, `start.start` with the texture key: verbatim tiles, exactly
                  half of the pixels (to one) from either exemplar. Past its last knot the smooth field
                  stays as it is (there it falls to 0; no matter where sides are multiples of 8). The map is
                  framed by 2 pixels a side, which windows and neighbours read and nothing writes.
    level         the map doubled (`search.upsample`), then its sweeps, `passes(number, levels)`.
    use           of a bin (8 x 8 exemplar pixels at full size): output pixels it feeds, frame left out.

A sweep visits nine colour classes, pixels 3 apart in both directions, in the order of `CLASSES`. No 5 x 5
window holds another pixel of the class, and no neighbour at a jump of 1 or 2 is one, so all its pixels decide
from the state before the class, and one by one gives the same result as all at once. Use is counted
anew after each class. A pixel n = (y, x) of the output, not counting the frame:

    is skipped    if `seam` is 1 and its eight neighbours all continue its copy: source(n + d) equals
                  source(n) + d for each.
    first takes   the cheapest of: its present source; what the neighbours at distance `jump` left, above,
                  right and below would continue with, source(n + d) - d; `random` valid positions,
                  uniform (words 0 ...).
    then takes    the cheapest of that and of `local` positions around it, uniform in the square of
                  `reach` pixels (words `random` ...): of word * (2 reach + 1), the high 32 bits are the row,
                  and the low 32 bits times (2 reach + 1), shifted right by 32, the column, less `reach`.

Words are those of block y * side + x of the stream (CANDIDATE, level, number of the pass). Candidates are
clamped to the atlas; those whose window leaves their exemplar are passed over. Ties keep the earlier. Cost is

    (sum of squared differences of the 5 x 5 x 3 windows << FRACTION) + step * use(bin of the candidate)

with step so that a bin at its fair share costs like a root mean square difference of sqrt(25 balance).
"""

from typing import NamedTuple

from texneg.arguments import shared_key
from texneg.philox.streams import Stream
from texneg.textures.atlas import BIN, level_count
from texneg.textures.presets import SMALLEST_EXEMPLAR
from texneg.textures.search import FRACTION
from texneg.textures.start import TILE
from texneg.textures.texture import LEVELS, NARROWEST, NARROWEST_GIVEN
from texneg.textures.window import RADIUS

LIVE = "live"
"""The name of this method beside those of `textures.texture`."""

CLASSES = tuple((n % 3, (n + n // 3) % 3) for n in range(9))
"""Row and column offset of each colour class, along diagonals."""


class LiveOptions(NamedTuple):
    """The options of a batch: all that decides its maps except images and indices."""

    exemplar: int
    """Side of both exemplars in pixels."""
    textures: int
    """Of each image."""
    base: int
    """`batch_key` of seed and epoch."""
    levels: int | None = None
    """Most of them; None for those of the side."""
    turn: bool = False
    """Mirror and turn the exemplars at random."""


class Pass(NamedTuple):
    """One sweep."""

    jump: int
    """Distance in pixels of the neighbours that propose, 1 or 2: the frame holds all of them."""
    random: int
    """Candidates a pixel from anywhere; with `local` at most 4, one Philox block."""
    local: int
    """Candidates a pixel from around the best so far."""
    reach: int
    """Largest distance in pixels of a local candidate, in each direction."""
    balance: int
    """Usage penalty p: a place used at its fair share costs like an RMS difference of sqrt(25 p) levels."""
    seam: int
    """1 skips pixels inside a copy, 0 visits all."""


COARSEST = (
    Pass(jump=2, random=2, local=2, reach=2, balance=100, seam=0),
    Pass(jump=1, random=2, local=2, reach=1, balance=60, seam=1),
    Pass(jump=1, random=0, local=4, reach=1, balance=20, seam=1),
)
"""A heavy penalty spreads the use while places are still to be chosen; the last sweep, the only one left for
small textures, mends seams."""
FINER = (
    Pass(jump=2, random=0, local=1, reach=1, balance=12, seam=1),
    Pass(jump=1, random=0, local=1, reach=1, balance=8, seam=1),
)
FINEST = (Pass(jump=1, random=0, local=2, reach=1, balance=4, seam=1),)


class Level(NamedTuple):
    """Sizes at one level; level 0 is the finest."""

    number: int
    side: int
    """Side of the output in pixels."""
    exemplar: int
    """Side of both exemplars in pixels."""
    pitch: int
    """Side of an exemplar's slot in the atlas, which is 2 pitch rows of pitch pixels."""
    cell: int
    """Side of a bin in pixels."""

    @property
    def framed(self) -> int:
        """Side of the output with its frame."""
        return self.side + 2 * RADIUS

    @property
    def room(self) -> int:
        """Valid positions along one side of an exemplar."""
        return self.exemplar - 2 * RADIUS

    @property
    def tile(self) -> int:
        """Side of a tile where the search starts."""
        return min(TILE, self.room // 2)

    @property
    def bins(self) -> int:
        """Bins of both exemplars."""
        return 2 * (self.pitch // self.cell) ** 2

    def step(self, balance: int) -> int:
        """Penalty of a bin for each pixel it feeds."""
        return self.bins * (balance * 75 * 25 << FRACTION) // self.side**2


def default_exemplar(height: int, width: int) -> int:
    """Side of an exemplar: the paper's 96 of 224 pixels scaled to the shorter side, even.

    >>> [default_exemplar(side, side) for side in (16, 32, 64, 96, 128, 224)]
    [8, 14, 28, 42, 54, 96]
    """
    return max(SMALLEST_EXEMPLAR, 2 * ((96 * min(height, width) + 224) // 448))


def levels(side: int, exemplar: int, most: int | None = None) -> tuple[Level, ...]:
    """The levels of a (side, side) texture, finest first; `most` is the option `levels` of `texture`."""
    narrowest = NARROWEST if most is None else NARROWEST_GIVEN
    shapes = ((exemplar, exemplar),)
    slot = -(-exemplar // BIN) * BIN
    return tuple(
        Level(number, -(-side >> number), exemplar >> number, slot >> number, BIN >> number)
        for number in range(level_count(shapes, side, most or LEVELS, narrowest))
    )


def passes(number: int, count: int) -> tuple[Pass, ...]:
    """The sweeps of a level: many at the coarsest of `count` levels, one at full size."""
    if number == count - 1:
        return COARSEST
    return FINER if number else FINEST


def batch_key(seed: int, epoch: int) -> int:
    """The part of the texture key that a whole batch shares."""
    return shared_key(seed, epoch, Stream.LIVE_TEXTURES)
