"""The table of published test sets, and look-ups by name."""

from texneg.datasets.catalogue.corrupted import CORRUPTED
from texneg.datasets.catalogue.known import Group, KnownSet
from texneg.datasets.catalogue.others import OTHERS

CATALOGUE: list[KnownSet] = [*CORRUPTED, *OTHERS]
"""Append a description of your own: it is then known by its name in `texneg ood`, its list and a report."""


def find_known(name: str) -> KnownSet | None:
    """Find the set of this name, in any case."""
    return next((known for known in CATALOGUE if known.name == name.casefold()), None)


def find_group(name: str, declared: str | None = None) -> Group | None:
    """Find the group that a set belongs to by its name, or by a class map that only one known set has.

    Args:
        name: of the set.
        declared: its class map.
    """
    plain = name.casefold()
    for known in CATALOGUE:
        if plain == known.name or plain in known.also or (declared == known.name and not known.parts):
            return known.group
    return None
