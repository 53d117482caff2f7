"""`texneg synth`: one texture for every image of a data set."""

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal

from texneg.cli.console import info
from texneg.cli.fields import Positional
from texneg.datasets.encode import STORED, Encoding
from texneg.datasets.sources.reader import open_reader
from texneg.datasets.sources.sources import Source, SourceKind, open_source
from texneg.datasets.sources.splits import find_nested
from texneg.datasets.storage.names import show
from texneg.datasets.storage.places import Place, parse_place, resolve
from texneg.errors import InputError
from texneg.synth.config import RunConfig, RunOutput, require, require_at_least, require_side
from texneg.synth.plan.plan import Exemplars, Exif, Layout, Redrawing, Settings, Small
from texneg.synth.run import make
from texneg.textures.presets import (
    LARGEST_OUTPUT,
    METHODS,
    MOST_LEVELS,
    PAPER_EXEMPLAR,
    PRESETS,
    SMALLEST_EXEMPLAR,
    SMALLEST_OUTPUT,
)

LARGEST_EXEMPLAR = 2048  # px
LOOKED_AT = 20  # images, for the first that shows the depth and the channels of all


@dataclass(frozen=True)
class Output(RunOutput):
    """The textures: formats, pixels and names."""

    format: SourceKind | None = None
    """Output: class folders, or WebDataset tar shards. Default: like the input."""
    layout: Layout = "textures"
    """Tars of textures, or paired: each texture beside its untouched image and class, to train from."""
    preset: Literal["paper"] | None = None
    """paper: class folders of PNG files made of upright images, in SRC-texture, as its loader expects."""
    size: int = 224
    """Side of a texture, px (16 to 1024)."""
    exemplar_size: int | None = None
    """Side of the squares a texture is made of, px (8 or more). Default: 40 of turned ones (36 for quality)
    and 96 of the paper's; of images under 224 px the paper's are the same share, turned ones half of it."""
    exemplars: Exemplars | None = None
    """turned: four squares, two of them about the centre, each mirrored and turned at random, which leave
    less of the object. paper: two as they lie, at the centre and anywhere. Default: turned; paper with
    --exemplar-size or --preset paper, and in a run that was begun with them."""
    method: str = "default"
    """Synthesis method: fast, default or quality."""
    levels: int | None = None
    """Scale of structure, 1 to 4. Default 3; 2 leaves less of the object, and is told from a photograph
    more easily."""
    max_leak: float | None = None
    """Draw the squares of an image again while the cosine of --leak-encoder's features of texture and image
    is above this (between 0 and 1); the manifest has leak and try."""
    leak_encoder: str | None = None
    """Encoder for --max-leak: run folder, encoder.pt, file of another project's weights, or timm:NAME."""
    leak_arch: str | None = None
    """timm model of the weights of --leak-encoder, where the file does not say."""
    leak_tries: int = 5
    """Tries of an image at most; if all are above --max-leak, the texture that leaks least is taken."""
    seed: int = 0
    """Textures are a function of this and the image's key."""
    encoding: Encoding = "webp"
    """Lossless file format of a texture. webp and png: RGB of 8 bits. tiff and npy: all channels (1 to 16)
    and the depth of the images, which must be the same in all; .npy files are images, too."""
    exif: Exif = "ignore"
    """apply: turn images upright first. ignore: take them as stored, as torchvision's loader does."""
    allow_truncated: bool = False
    """Use truncated files as far as they go, as Pillow does with LOAD_TRUNCATED_IMAGES; the manifest says of
    each what is missing."""
    small: Small = "shrink-patch"
    """Images smaller than a patch: take a smaller patch (down to a third), enlarge the image, or skip it."""
    splits: Literal["auto", "none"] = "auto"
    """auto: train, val, validation and test below SRC are splits. none: they are ordinary folders."""
    naming: Literal["replace", "append"] = "replace"
    """Name of a texture: the image's with its suffix replaced, or appended to it (x.jpg.webp)."""
    shard_size: int = 1000
    """Images per commit, and in an output tar when the input is a tree."""
    limit: int | None = None
    """Take only this many images, spread evenly over the data set."""

    def check(self) -> None:
        """Refuse values out of their range, and formats that exclude each other."""
        require_side("size", self.size, SMALLEST_OUTPUT, LARGEST_OUTPUT)
        if self.exemplar_size is not None:
            require_side("exemplar_size", self.exemplar_size, SMALLEST_EXEMPLAR, LARGEST_EXEMPLAR)
        levels = self.levels
        require("levels", levels, levels is None or 1 <= levels <= MOST_LEVELS, f"1 to {MOST_LEVELS}")
        require("exemplars", self.exemplars, self.exemplars in (None, "paper", "turned"), "paper or turned")
        require("seed", self.seed, 0 <= self.seed < 1 << 64, "0 to 2^64 - 1")
        require("method", self.method, self.method in METHODS, " or ".join(METHODS))
        require_at_least(self, limit=1, shard_size=1, leak_tries=1)
        leak = self.max_leak
        require("max_leak", leak, leak is None or 0 < leak < 1, "a cosine above 0 and below 1, such as 0.3")
        if leak is not None and self.leak_encoder is None:
            raise InputError(f"--max-leak {leak}: an encoder measures it; give one with --leak-encoder")
        if leak is not None and self.encoding in STORED:
            raise InputError(
                f"--max-leak {leak}: encoders see RGB of 8 bits; leave --encoding {self.encoding} out"
            )
        if leak is None and (self.leak_encoder or self.leak_arch):
            raise InputError("--leak-encoder: give the limit, too, such as --max-leak 0.3")
        if self.layout == "paired" and (self.format == "folder" or self.preset):
            raise InputError("--layout paired puts images and textures into tars: use --format webdataset")
        if self.preset and self.encoding in STORED:
            raise InputError(f"--preset {self.preset} makes PNG files: leave --encoding out")
        if self.preset and self.format == "webdataset":
            raise InputError(f"--preset {self.preset} makes class folders: leave --format out")

    def check_places(self, src: str, dst: str) -> None:
        """Refuse a DST where the published loader would not look."""
        wanted = f"{src.rstrip('/')}-texture"
        if self.preset and resolve(parse_place(dst)) != resolve(parse_place(wanted)):
            raise InputError(
                f"--preset {self.preset}: the published loader looks in {wanted}; give that as DST"
            )

    def open(self, src: Place) -> Source:
        """Open the images, and say where folders look like splits but are taken for none."""
        source = open_source(src, splits=self.splits, naming=self.naming, arrays=self.encoding in STORED)
        if self.splits == "auto" and source.kind == "folder" and source.splits == ("",):
            for name in find_nested(src)[0][:1]:
                line = f"the splits in {name} are taken for ordinary folders"
                info(f"{line}; to tell them apart give {src / name}")
        return source

    def settings(self, source: Source) -> Settings:
        """The settings of a run on a source."""
        paper, kind = self.preset == "paper", source.kind
        form = self.format or ("folder" if paper else "webdataset" if self.layout == "paired" else kind)
        return Settings(
            format=form,
            size=self.size,
            exemplar_size=PAPER_EXEMPLAR if paper and self.exemplar_size is None else self.exemplar_size,
            seed=self.seed,
            method=self.method,
            method_version=PRESETS[self.method].version,
            levels=self.levels,
            exemplars=self.exemplars or ("paper" if paper or self.exemplar_size else "turned"),
            encoding="png" if paper else self.encoding,
            small=self.small,
            splits=self.splits,
            naming=self.naming,
            limit=self.limit,
            shard_size=self.shard_size if (kind, form) == ("folder", "webdataset") else None,
            layout=self.layout,
            exif="apply" if paper else self.exif,
            allow_truncated=self.allow_truncated,
            pixels=find_pixels(source) if self.encoding in STORED else None,
            redrawing=self.redrawing(),
        )

    def redrawing(self) -> Redrawing | None:
        """The settings of a limit of the leak; opens the encoder."""
        if self.max_leak is None or self.leak_encoder is None:
            return None
        from texneg.synth.task.redrawn import read_fingerprint  # loads decoders, numba and torch

        path = Path(self.leak_encoder)
        encoder = str(path.resolve()) if path.exists() else self.leak_encoder
        fingerprint = read_fingerprint(encoder, self.leak_arch)
        return Redrawing(self.max_leak, encoder, self.leak_arch, fingerprint, self.leak_tries)

    def resume(self, settings: Settings, stored: Settings) -> Settings:
        """The settings with the stored exemplars where none are given, and the stored depth."""
        if settings.pixels and stored.pixels:
            settings = replace(settings, pixels=stored.pixels)
        if self.exemplars is None and not self.exemplar_size:
            settings = replace(settings, exemplars=stored.exemplars)
        return settings if self.exemplar_size else replace(settings, exemplar_size=stored.exemplar_size)


def find_pixels(source: Source) -> str:
    """Depth and channels of a source's first image, which its others must have, too.

    Raises:
        InputError: none of the first images can be used.
    """
    from texneg.datasets.decode import DecodeError  # loads decoders, which most runs need in workers only
    from texneg.datasets.stored import decode_stored, describe_pixels

    reason = "it holds no images"
    for item in islice((item for item in source.items() if not item.status), LOOKED_AT):
        try:
            with open_reader(source.root, [item]) as read:
                return describe_pixels(decode_stored(read(item)).pixels)
        except DecodeError as error:
            reason = f"{show(item.src)}: {error.reason}"
    raise InputError(f"{source.root}: no image shows which depth and channels all have ({reason})")


@dataclass(frozen=True)
class SynthConfig(RunConfig):
    """Make one texture for every image of a data set. Run the same command again to resume."""

    dst: Positional[str] = ""
    """Folder for the textures; the ledger of the run is DST.texneg beside it."""
    output: Output = Output()

    verb: ClassVar[str] = "synth"
    made: ClassVar[str] = "textures"


def synth(config: SynthConfig) -> int:
    """Make the textures that are missing; see `texneg.synth.run.make`."""
    return make(config)
