"""`texneg cues`: test sets of shape, of texture, and of both in conflict, of the user's own classes."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from texneg.cli.console import info, out, plural
from texneg.cli.fields import Positional
from texneg.datasets.cues.layout import CONFLICT
from texneg.datasets.cues.make import CueSets, Settings, make_cue_sets
from texneg.datasets.cues.pictures import open_originals
from texneg.datasets.cues.texture import default_side
from texneg.datasets.storage.places import is_inside, parse_place, require_folder
from texneg.datasets.storage.url import Url
from texneg.errors import InputError
from texneg.textures.presets import SMALLEST_EXEMPLAR

SMALLEST, LARGEST = 32, 1024  # px


@dataclass(frozen=True)
class CuesConfig:
    """Make test sets of shape alone and of texture alone from labelled images.

    With masks of the objects also silhouettes, and the texture of one class on the shape of another. Run the
    same command again to resume.
    """

    data: Positional[str]
    """labelled images DATA/CLASS/IMAGE, or tars with classes; of a data set with splits, one split"""
    dst: Positional[str]
    """folder for edges/, textures/ and, with masks, silhouettes/ and cue-conflict/, on disk"""
    masks: str | None = None
    """masks of the objects, MASKS/CLASS/IMAGE of any image format: of the image's name and size, and not zero
    where the object is. Images without one are left out"""
    per_class: int = 50
    """images of each class in a set; all classes get as many as the smallest has"""
    size: int = 224
    """side of the pictures, px; images of half of it are enlarged, smaller ones left out"""
    exemplar_size: int | None = None
    """side of the squares that textures are made of, px; smaller where no such square fits into the object.
    Default: 96 px of 224, and the same share of other sizes"""
    seed: int = 0
    """chooses images, squares, textures and pairs"""
    allow_truncated: bool = False
    """use truncated files as far as they go"""


def cues(config: CuesConfig) -> int:
    """Make the cue sets, or what is missing of them."""
    check(config)
    originals = open_originals(config.data, config.masks)
    images = originals.images
    for line in images.passed_over.lines():
        info(f"passed over: {line}")
    originals = replace(originals, images=replace(images, allow_truncated=config.allow_truncated))
    settings = Settings(
        per_class=config.per_class,
        size=config.size,
        exemplar_size=config.exemplar_size or default_side(config.size),
        seed=config.seed,
        allow_truncated=config.allow_truncated,
    )
    cv2.setNumThreads(1)  # pictures are drawn in threads of our own
    made = make_cue_sets(Path(config.dst), originals, settings)
    describe(made)
    return 0


def check(config: CuesConfig) -> None:
    """Refuse values out of their range and places inside each other.

    Raises:
        InputError: naming what was given and what is allowed.
    """
    if not SMALLEST <= config.size <= LARGEST:
        raise InputError(f"--size {config.size}: allowed is {SMALLEST} to {LARGEST} px")
    if config.per_class < 1:
        raise InputError(f"--per-class {config.per_class}: allowed is 1 or more")
    if not 0 <= config.seed < 1 << 64:
        raise InputError(f"--seed {config.seed}: allowed is 0 to 2^64 - 1")
    side = config.exemplar_size
    if side is not None and not SMALLEST_EXEMPLAR <= side <= config.size:
        raise InputError(
            f"--exemplar-size {side}: allowed is {SMALLEST_EXEMPLAR} to --size, {config.size} px"
        )
    dst = parse_place(config.dst)
    if isinstance(dst, Url):
        raise InputError(f"DST {dst} is in a store; give a folder on disk, and copy it there afterwards")
    require_folder(dst, "DST")
    if config.masks and is_inside(parse_place(config.masks), parse_place(config.data)):
        raise InputError(
            f"--masks {config.masks} lies inside DATA {config.data}, where it would be a class; move it out"
        )
    for flag, folder in (("DATA", config.data), ("--masks", config.masks)):
        if folder is None:
            continue
        there = parse_place(folder)
        if not there.exists():
            raise InputError(f"{flag} {folder} does not exist; give the folder of the images")
        if is_inside(dst, there):
            raise InputError(f"DST {dst} lies inside {flag} {folder}; choose a folder outside of it")
        if is_inside(there, dst):
            raise InputError(f"{flag} {folder} lies inside DST {dst}; choose another DST")


def describe(made: CueSets) -> None:
    """Say what there is now, and how an encoder is tested on it."""
    listed = ", ".join(f"{cue} {count}" for cue, count in made.files.items())
    out(f"{made.folder}: {made.classes} classes, {plural(made.per_class, 'image')} of each; {listed}")
    if count := made.files.get(CONFLICT):
        pairs = made.classes * (made.classes - 1)
        times = count // pairs
        often = f"{count} of them once" if not times else "each once" if times == 1 else f"each {times} times"
        out(f"pairs of classes in {CONFLICT}: {pairs}, {often}")
    out(f"test an encoder: texneg ood RUN --out RUN --cues own={made.folder}")
