"""The synthesiser's presets and limits; light to import, unlike the synthesiser itself."""

from dataclasses import dataclass

SMALLEST_EXEMPLAR = 8
"""Side of an exemplar, px."""
SMALLEST_OUTPUT, LARGEST_OUTPUT = 16, 1024
"""Side of a texture, px."""
MOST_CHANNELS = 16
DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
"""Of exemplars."""
MOST_LEVELS = 4
PAPER_EXEMPLAR, PAPER_SIDE = 96, 224
"""Side of the paper's exemplars and of its images, px."""
TURNED_EXEMPLAR = 40
"""Side of turned exemplars, px."""


@dataclass(frozen=True)
class Preset:
    """The effort of a search. Triples are for the coarsest, the middle and the finest levels."""

    version: int
    """Raised whenever the bytes of a texture by this method change."""
    passes: tuple[int, int, int]
    """Scans a level, forwards and backwards in turn."""
    balance: tuple[int, int, int]
    """Usage penalty p: a place used at its fair share costs like an RMS difference of sqrt(25 p)."""
    turned: int = TURNED_EXEMPLAR
    """Side of the turned exemplars of `texneg synth`, px: more scans restore more of an object, and smaller
    squares take that away again."""


PRESETS = {
    "fast": Preset(version=2, passes=(4, 2, 1), balance=(40, 20, 10)),
    "default": Preset(version=2, passes=(5, 2, 2), balance=(40, 20, 8)),
    "quality": Preset(version=3, passes=(24, 6, 6), balance=(80, 40, 3), turned=36),
}
METHODS = tuple(PRESETS)
