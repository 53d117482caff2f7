"""The description of a published test set, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

RENDITIONS: Final = "renditions"
CUES: Final = "cue sets"
CORRUPTIONS: Final = "corruptions"
OUT: Final = "out of distribution"
Group = Literal["renditions", "cue sets", "corruptions", "out of distribution"]
Cells = Literal["one", "folders", "arrays"]
"""One measurement; one for each folder CORRUPTION/SEVERITY; one for each fifth of CORRUPTION.npy."""
SEVERITIES = 5


@dataclass(frozen=True)
class KnownSet:
    """A published test set. What no source says is None or the word unknown, never a guess."""

    name: str
    """as in --sets NAME=DIR"""
    title: str
    """with authors and year"""
    group: Group
    """in a report"""
    where: str
    """address to get it from"""
    licence: str
    layout: str
    """of the folder that is given, in words"""
    reading: str
    """meaning of its number, and what it must not be taken for"""
    images: int | None = None
    """images of all cells of the headline"""
    size: int | None = None
    """bytes of the archives to download"""
    classes: str = ""
    """class map of its folders, one of those that come with texneg; empty: the head's own names"""
    ready_cut: bool = False
    """images are cut to size already and are not enlarged before the crop"""
    cells: Cells = "one"
    corruptions: tuple[str, ...] = ()
    """of the headline, where there are several cells"""
    extra: tuple[str, ...] = ()
    """further corruptions, measured where they are there and no part of the headline"""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """other names of corruption folders"""
    flag: str = "--sets"
    """that takes NAME=DIR"""
    also: tuple[str, ...] = ()
    """further names of sets that belong to the same group"""
    parts: tuple[str, ...] = ()
    """folders in it that are sets of their own"""
    below: str = ""
    """folder in it that holds the class folders"""
    own_map: str = ""
    """folder in it with its class map, where that is not ours to give"""

    @property
    def count(self) -> int:
        """Number of cells of the headline."""
        return max(1, len(self.corruptions) * SEVERITIES)

    @property
    def plain_name(self) -> bool:
        """Its name is a plain word, which sets of one's own have, too: theirs are told by their folders."""
        return self.group == CUES
