"""The catalogue as lines for a terminal."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from texneg.cli.console import format_bytes
from texneg.datasets.catalogue.catalogue import CATALOGUE
from texneg.datasets.catalogue.known import SEVERITIES, KnownSet
from texneg.datasets.catalogue.recognise import Recognised

CLOSING = (
    "Any other tree of class folders, or tars of one, is a set, too: --sets NAME=DIR. What texneg corrupt"
    " makes is read cell by cell, under any name. WNID is a WordNet id such as n01440764, by which ImageNet"
    " names its classes."
)
WIDTH = 100
INDENT = 14


def list_known(found: Sequence[Recognised] | None = None) -> Iterator[str]:
    """List every known set by group, then what was found on disk.

    Args:
        found: in the folders that were looked through; None for none given.
    """
    for group, sets in groupby(sorted(CATALOGUE, key=lambda known: known.group), lambda known: known.group):
        yield group.upper()
        for known in sets:
            yield ""
            yield from describe_known(known, [one for one in found or () if known in one.sets])
        yield ""
    yield from wrap(CLOSING, WIDTH)
    if found is None:
        yield "To see what is there of these sets, name folders: texneg ood --list DIR ..."
        return
    yield ""
    yield "FOUND"
    for one in found:
        yield one.path
        yield from _field("", f"{_name(one)}: {one.counts}")
    if not found:
        yield "nothing that looks like a set"


def _name(found: Recognised) -> str:
    """Name the sets that a folder can be."""
    if len(found.sets) < 2:
        return found.sets[0].name if found.sets else "no known set"
    names = [known.name for known in found.sets]
    return f"perhaps {', '.join(names[:-1])} or {names[-1]}, which have the same class folders"


def describe_known(known: KnownSet, found: Sequence[Recognised]) -> Iterator[str]:
    """Describe one set in a few lines."""
    images = f"{known.images:,} images" if known.images else "number of images unknown"
    size = f"{format_bytes(known.size)} to download" if known.size else "size unknown"
    extra = f", {len(known.extra) * SEVERITIES} more of the extra corruptions" if known.extra else ""
    cells = f"{known.count} cells{extra}; " if known.count > 1 else ""
    yield f"{known.name}    {known.title}"
    yield from _field("  holds", f"{cells}{images}; {size}")
    yield from _field("  from", known.where)
    yield from _field("  licence", known.licence)
    yield from _field("  layout", known.layout)
    yield from _field("  number", known.reading)
    yield from _field("  test with", _describe_use(known))
    for one in found:
        certain = "found" if len(one.sets) == 1 else "perhaps"
        yield from _field(f"  {certain}", f"{one.path}: {one.counts}")


def _describe_use(known: KnownSet) -> str:
    """Give the flags of a set, and what follows from its name."""
    name, folder = (known.parts[-1], f"DIR/{known.parts[-1]}") if known.parts else (known.name, "DIR")
    flags = f"{known.flag} {name}={folder}"
    if known.parts:
        return f"{flags} --classes {name}={known.classes}"
    if known.flag != "--sets":
        return f"{flags} --mapping {known.classes}"
    classes = f"classes by the map {known.classes}" if known.classes else f"classes by its {known.own_map}/"
    return f"{flags}; {classes}{', images ready-cut' if known.ready_cut else ''}"


def _field(name: str, text: str) -> list[str]:
    """A name and its text, wrapped beside it."""
    lines = wrap(text, WIDTH - INDENT, break_long_words=False, break_on_hyphens=False) or [""]
    first = f"{name:<{INDENT}}" if len(name) < INDENT else f"{name}  "
    return [f"{first}{lines[0]}", *(" " * INDENT + line for line in lines[1:])]
