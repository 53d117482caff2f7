"""`texneg corrupt`: corrupted copies of a test set in the layout of ImageNet-C, made as textures are.

An image counts once for each corruption and severity: these stand in the plan where a split would, so that
DST/CORRUPTION/SEVERITY/CLASS/IMAGE, resuming and the manifest are those of any run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar, Literal

from texneg.cli.fields import Positional
from texneg.datasets.corruptions.corrupt import (
    VERSION,
    choose_corruptions,
    choose_severities,
    require_quality,
)
from texneg.datasets.corruptions.pictures import read_pictures
from texneg.datasets.corruptions.severities import SEVERITIES, Constants, nearest_constants
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source, open_source
from texneg.datasets.storage.places import Place
from texneg.errors import InputError
from texneg.synth.config import RunConfig, RunOutput, require, require_at_least, require_side
from texneg.synth.plan.plan import Corrupting, Cut, Exif, Settings
from texneg.synth.run import make
from texneg.synth.task.corrupted import METHOD, make_split

SMALLEST, LARGEST = 16, 1024  # px
SMALL = 64  # px, up to which photographs are published as reduced whole


@dataclass(frozen=True)
class CorruptOutput(RunOutput):
    """The corrupted images: which, and their files."""

    corruptions: tuple[str, ...] = ("all",)
    """all (the fifteen of mCE), extra (the four others), or names such as fog."""
    severities: tuple[int, ...] = SEVERITIES
    """1 (weak) to 5."""
    size: int = 224
    """Side of the images, px; one of that size is taken as it is."""
    cut: Cut | Literal["auto"] = "auto"
    """centre: reduce the shorter side to 8/7 of the size and cut out the centre, as for ImageNet-C. whole:
    reduce the whole image to the square, as for Tiny-ImageNet-C. auto: whole up to 64 px."""
    constants: Constants | Literal["nearest"] = "nearest"
    """Data set whose constants are taken; nearest: the one whose images are nearest in size."""
    jpeg_quality: int = 85
    """Of the files, 85 as published; 0 writes PNG."""
    frost_dir: str | None = None
    """Folder of the published pictures of frost (frost1.png ...); without it they are drawn by texneg."""
    seed: int = 0
    """Noise is a function of this, the corruption, the severity and the image's key."""
    exif: Exif = "ignore"
    """apply: turn images upright first. ignore: take them as stored, as torchvision's loader does."""
    allow_truncated: bool = False
    """Use truncated files as far as they go."""
    naming: Literal["replace", "append"] = "replace"
    """Name of an output: the image's with its suffix replaced, or appended to it."""
    shard_size: int = 500
    """Images per commit. Their copies follow each other, so that workers still hold what they decoded."""
    limit: int | None = None
    """Take only this many outputs, spread evenly over all."""

    def check(self) -> None:
        """Refuse values out of their range."""
        choose_corruptions(self.corruptions)
        choose_severities(self.severities)
        require_quality(self.jpeg_quality)
        require_side("size", self.size, SMALLEST, LARGEST)
        require("seed", self.seed, 0 <= self.seed < 1 << 64, "0 to 2^64 - 1")
        require_at_least(self, limit=1, shard_size=1)

    def open(self, src: Place) -> Source:
        """Open the images, each once for every corruption and severity."""
        source = open_source(src, naming=self.naming)
        if source.kind != "folder":
            raise InputError(f"{src} holds tars: give a tree of class folders (unpack them first)")
        if source.splits != ("",):
            splits = ", ".join(source.splits)
            raise InputError(f"{src} has the splits {splits}: give one, such as {src / source.splits[0]}")
        names, severities = choose_corruptions(self.corruptions), choose_severities(self.severities)
        copies = tuple(make_split(name, severity) for name in names for severity in severities)
        return CopiedSource(**vars(source), copies=copies, run=self.shard_size)

    def settings(self, source: Source) -> Settings:
        """The settings of a run."""
        names = choose_corruptions(self.corruptions)
        published = "frost" in names and self.frost_dir
        own = Corrupting(
            corruptions=names,
            severities=choose_severities(self.severities),
            constants=nearest_constants(self.size) if self.constants == "nearest" else self.constants,
            jpeg_quality=self.jpeg_quality,
            cut=("whole" if self.size <= SMALL else "centre") if self.cut == "auto" else self.cut,
            frost_dir=self.frost_dir,
            frost=read_pictures(published).fingerprint if published else None,
        )
        return Settings(
            format="folder",
            size=self.size,
            exemplar_size=0,
            seed=self.seed,
            method=METHOD,
            method_version=VERSION,
            encoding="png",
            small="upscale",
            splits="none",
            naming=self.naming,
            limit=self.limit,
            shard_size=None,
            exif=self.exif,
            allow_truncated=self.allow_truncated,
            corrupting=own,
        )


@dataclass(frozen=True)
class CopiedSource(Source):
    """A source whose images all come once for each copy, which stands where their split would."""

    copies: tuple[str, ...] = ()
    run: int = 1
    """Images whose copies follow each other."""

    def items(self, *, unique: bool = False) -> Iterator[Item]:
        """Walk some images in order, copy by copy, then the next."""
        images = super().items(unique=unique)
        while group := list(islice(images, self.run)):
            for copy in self.copies:
                yield from (replace(item, split=copy) for item in group)


@dataclass(frozen=True)
class CorruptConfig(RunConfig):
    """Corrupt every image of a test set as ImageNet-C does. Run the same command again to resume."""

    src: Positional[str] = ""
    """Tree of class folders."""
    dst: Positional[str] = ""
    """Folder for DST/CORRUPTION/SEVERITY/CLASS/IMAGE; the ledger of the run is DST.texneg beside it."""
    output: CorruptOutput = CorruptOutput()

    verb: ClassVar[str] = "corrupt"
    made: ClassVar[str] = "corrupted images"


def corrupt(config: CorruptConfig) -> int:
    """Make the corrupted images that are missing; see `texneg.synth.run.make`."""
    return make(config)
