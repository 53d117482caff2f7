"""What can be asked of the synthesiser; light to import, unlike the synthesiser itself."""

from dataclasses import dataclass

METHOD_VERSION = 2
"""Raised whenever the bytes of any texture change."""

SMALLEST_EXEMPLAR = 8
"""Side of an exemplar, px."""
SMALLEST_OUTPUT, LARGEST_OUTPUT = 16, 1024
"""Side of a texture, px."""


@dataclass(frozen=True)
class Preset:
    """How long the search is. Triples are for the coarsest, the middle and the finest levels."""

    passes: tuple[int, int, int]
    """Scans a level, forwards and backwards in turn."""
    balance: tuple[int, int, int]
    """Usage penalty p: a place used at its fair share costs like an RMS difference of sqrt(25 p)."""


PRESETS = {
    "fast": Preset(passes=(4, 2, 1), balance=(40, 20, 10)),
    "default": Preset(passes=(5, 2, 2), balance=(40, 20, 8)),
    "quality": Preset(passes=(8, 6, 6), balance=(55, 22, 5)),
}
METHODS = tuple(PRESETS)
