"""Kinds of non-semantic negatives, one file each, and the list of them that everything else reads."""

from collections.abc import Mapping
from typing import Any

from texneg.train.negatives.base import Negative, Negatives
from texneg.train.negatives.negative_pass import NegativePass
from texneg.train.negatives.patch import Patch
from texneg.train.negatives.patch_permutation import PatchPermutation
from texneg.train.negatives.texture import Texture
from texneg.train.negatives.texture_live import TextureLive
from texneg.train.options import from_plain

__all__ = [
    "KINDS",
    "Negative",
    "NegativePass",
    "Negatives",
    "Patch",
    "PatchPermutation",
    "Texture",
    "TextureLive",
    "read_negatives",
]

KINDS: list[type[Negative]] = [Patch, PatchPermutation, Texture, TextureLive]
"""Append a class here to train with it by its name."""


def read_negatives(plain: Mapping[str, Any]) -> Negatives:
    """Read the negatives that a run's `config.json` or encoder names.

    Raises:
        InputError: a kind that is not in `KINDS`.
    """
    kinds = []
    for kind in plain["kinds"]:
        options = dict(kind)
        share = float(options.pop("share"))
        kinds.append((from_plain(KINDS, options, "--negatives"), share))
    return Negatives(tuple(kinds), plain["count"])
