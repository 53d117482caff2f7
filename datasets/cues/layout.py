"""Cue sets on disk: a folder for each cue, what is in it, and the names of cue-conflict images.

Cue conflict is named <shape><i>-<texture><j>, in the folder of the shape's class, as by Geirhos et al. (ICLR
2019), whose classes are words such as cat and elephant. Names of one's own classes may end in digits or hold
hyphens, n02102040 or golden-retriever: what follows `<shape><i>-` is then looked up among the classes, and
names made here have no <j>, so that no digit is in doubt.
"""

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from texneg.datasets.storage.json_files import read_json
from texneg.errors import InputError

EDGES, SILHOUETTES, TEXTURES, CONFLICT = "edges", "silhouettes", "textures", "cue-conflict"
CUES = (EDGES, SILHOUETTES, TEXTURES, CONFLICT)
HEADER, LINES = "cues.json", "cues.jsonl"

_TEXTURE = re.compile(r".*-(?P<texture>.*?)\d*$")


def read_files(folder: Path) -> dict[str, int]:
    """Read the number of files of each cue of finished cue sets.

    Raises:
        InputError: there are none, or they are not finished.
    """
    header = read_json(folder / HEADER, remedy="make cue sets with texneg cues, and give their folder")
    if not header.get("finished"):
        raise InputError(f"{folder} is unfinished: run the same texneg cues again, which goes on")
    files: dict[str, int] = header["files"]
    return files


def name_conflict(shape: str, number: int, texture: str) -> str:
    """Name the image number `number` of a shape's class, without a suffix."""
    return f"{shape}{number}-{texture}"


def parse_texture(key: str, shape: str, classes: Collection[str] = ()) -> str:
    """Read the class of the texture from the name of a cue-conflict image.

    It is a known class that follows `<shape><i>-`, with or without <j>; else what stands after the last
    hyphen, without digits at its end.

    Args:
        key: of the image.
        shape: class of the shape, its folder.
        classes: names of classes that are known.

    Raises:
        InputError: the image has no such name, or one that can be read in several ways.
    """
    name = PurePosixPath(key).name
    rest = re.fullmatch(rf"{re.escape(shape)}\d*-(.+)", name)
    if rest is not None:
        if rest[1] in classes:
            return rest[1]
        meant = [one for one in classes if rest[1].startswith(one) and rest[1][len(one) :].isdecimal()]
        if len(meant) > 1:
            raise InputError(
                f"cue-conflict image {key!r}: its texture may be {' or '.join(sorted(meant))}; leave the"
                " number after the texture out"
            )
        if meant:
            return meant[0]
    match = _TEXTURE.match(name)
    if match is None or not match["texture"] or not name.startswith(shape):
        raise InputError(
            f"cue-conflict image {key!r} in folder {shape!r} is not named <shape><i>-<texture><j>, "
            "for example cat1-elephant2.png; rename it or take it out of the set"
        )
    return match["texture"]
