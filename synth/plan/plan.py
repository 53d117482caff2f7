"""The settings and the frozen plan of a run, decided once, before the first texture is made."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from math import ceil
from pathlib import PurePosixPath
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from texneg.datasets.corruptions.severities import Constants
from texneg.datasets.encode import Encoding
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.passed_over import PassedOver
from texneg.datasets.sources.sources import SourceKind
from texneg.datasets.storage.atomic import atomic_file
from texneg.datasets.storage.json_files import parse_json, write_json
from texneg.datasets.storage.names import escape, hide_dots, show
from texneg.datasets.storage.places import Place, open_read

Small = Literal["shrink-patch", "upscale", "skip"]
Layout = Literal["textures", "paired"]
Exif = Literal["ignore", "apply"]
Exemplars = Literal["paper", "turned"]
"""The paper's two squares as they lie, or four smaller ones, mirrored and turned."""
Cut = Literal["centre", "whole"]
"""Of a photograph: the centre of its reduction to 8/7 of the side, or all of it, whatever its shape."""
DECODE_POLICY = 2
"""Raised whenever the pixels of any input change."""
NO_SPLIT = "all"
SHOWN = 5

_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("index", pa.int32()),
        *((field.name, pa.int64() if field.type is int else pa.string()) for field in fields(Item)),
    ]
)
_ITEM_FIELDS = tuple(field.name for field in fields(Item))


@dataclass(frozen=True)
class Corrupting:
    """The settings of a run that makes corrupted images in place of textures."""

    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    constants: Constants
    jpeg_quality: int
    """0 for PNG."""
    cut: Cut
    frost_dir: str | None
    """Folder of pictures of frost; None for frost drawn by texneg."""
    frost: str | None
    """Fingerprint of the pictures in that folder; None where none are used."""

    @property
    def suffix(self) -> str:
        """Suffix of the images."""
        return "JPEG" if self.jpeg_quality else "png"


@dataclass(frozen=True)
class Redrawing:
    """The settings of a run that draws squares again where the texture leaks."""

    max_leak: float
    leak_encoder: str
    """File, absolute, or timm:NAME."""
    leak_arch: str | None
    leak_fingerprint: str
    """Of its weights and preprocessing."""
    leak_tries: int


@dataclass(frozen=True)
class Settings:
    """Everything that changes pixels or names: equal settings and equal inputs give equal bytes."""

    format: SourceKind
    size: int
    exemplar_size: int | None
    """None: 96 px, or 40 or 36 px of turned ones, and the same share of images smaller than the paper's."""
    seed: int
    method: str
    method_version: int
    encoding: Encoding
    small: Small
    splits: Literal["auto", "none"]
    naming: Literal["replace", "append"]
    limit: int | None
    shard_size: int | None
    """None where the output does not depend on it: class folders, or tars that mirror the input's."""
    decode_policy: int = DECODE_POLICY
    layout: Layout = "textures"
    exif: Exif = "ignore"
    allow_truncated: bool = False
    corrupting: Corrupting | None = None
    """Corruptions to make; None for textures."""
    levels: int | None = None
    """Of a texture's pyramid; None for the method's own."""
    pixels: str | None = None
    """Depth and channels of every image and texture, such as `uint16 x 8`; None for RGB of 8 bits."""
    exemplars: Exemplars = "paper"
    redrawing: Redrawing | None = None

    @property
    def suffix(self) -> str:
        """Suffix of an output."""
        return self.corrupting.suffix if self.corrupting else self.encoding

    @property
    def noun(self) -> str:
        """Name of an output, for messages."""
        return "corrupted image" if self.corrupting else "texture"

    def flat(self) -> dict[str, Any]:
        """All values by name, those of the corruptions among them where there are any."""
        values = asdict(self)
        return values | (values.pop("corrupting") or {}) | (values.pop("redrawing") or {})

    def fingerprint(self, plan_digest: str) -> str:
        """Hex sha256 of the settings and the plan."""
        value = {**self.flat(), "plan": plan_digest}
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

    def differences(self, stored: "Settings") -> list[str]:
        """List `field: stored -> own` for each field in which the settings of a stored run differ."""
        was, now = stored.flat(), self.flat()
        names = dict.fromkeys([*was, *now])
        return [
            f"{name}: {was.get(name)} -> {now.get(name)}" for name in names if was.get(name) != now.get(name)
        ]

    @classmethod
    def parse(cls, stored: dict[str, Any]) -> "Settings":
        """The settings that were stored as JSON; a missing or unknown name raises `TypeError`."""
        if corrupting := stored.get("corrupting"):
            lists = {name: tuple(corrupting[name]) for name in ("corruptions", "severities")}
            stored = {**stored, "corrupting": Corrupting(**{**corrupting, **lists})}
        if redrawing := stored.get("redrawing"):
            stored = {**stored, "redrawing": Redrawing(**redrawing)}
        return cls(**stored)


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of commit: consecutive images, and the output tar they go to."""

    split: str
    number: int
    """Within the split, without gaps."""
    row_group: int
    """Place in the plan file."""
    n: int
    tar: str
    """Output tar below DST; empty for class folders."""
    file: int = 0
    """Number of the plan file: 0, or that of the extension which brought the shard."""
    whole: bool = False
    """One task makes it all, because its input is a stream."""

    @property
    def id(self) -> str:
        """`train/000/000123`: the shard's name in the ledger."""
        return f"{self.split or NO_SPLIT}/{self.number // 1000:03d}/{self.number:06d}"


@dataclass(frozen=True)
class Inputs:
    """The source of a plan as the scan found it."""

    kind: SourceKind
    skipped: dict[str, int]
    """Number of files that were passed over, by reason."""
    broken: list[str]
    """Input tars that break off."""
    classes: list[str]
    """Class folders in the order of their numbers, where the output has numbers."""
    skipped_first: dict[str, str] = field(default_factory=dict)
    """The first file of each reason."""

    @property
    def passed_over(self) -> PassedOver:
        """Files that were passed over."""
        return PassedOver(Counter(self.skipped), self.skipped_first)


@dataclass(frozen=True)
class Plan:
    """All shards of a run."""

    folder: Place
    shards: tuple[Shard, ...]
    part_size: int
    """Images per task. Outputs do not depend on it."""
    images: int
    digest: str
    """sha256 of every row."""
    source: Inputs
    files: int = 1
    """Plan files: one, and one for each extension."""

    def parts(self, shard: Shard) -> int:
        """Number of tasks that make a shard."""
        return 1 if shard.whole else ceil(shard.n / self.part_size)

    def share(self, task: int, tasks: int) -> "Plan":
        """The plan of one task of a job array: every `tasks`-th shard from number `task` on."""
        shards = self.shards[task::tasks]
        return replace(self, shards=shards, images=sum(shard.n for shard in shards))

    @cached_property
    def input_bytes(self) -> int:
        """Bytes of the images of all its shards, read from the plan files on first use."""
        total = 0
        for number, shards in itertools.groupby(self.shards, key=lambda shard: shard.file):
            with open_read(plan_file(self.folder, number)) as stream, pq.ParquetFile(stream) as file:
                for shard in shards:
                    sizes = file.read_row_group(shard.row_group, columns=["size"])["size"]
                    total += int(sizes.to_numpy().sum())
        return total


def plan_file(folder: Place, number: int) -> Place:
    """The path of a table of the plan: one row group per shard."""
    return folder / f"part-{number:05d}.parquet"


def read_items(folder: Place, shard: Shard, start: int = 0, stop: int | None = None) -> list[Item]:
    """Read images `start` to `stop` of a shard."""
    with open_read(plan_file(folder, shard.file)) as stream, pq.ParquetFile(stream) as file:
        table = file.read_row_group(shard.row_group, columns=list(_ITEM_FIELDS))
    rows = table.slice(start, None if stop is None else stop - start)
    return [Item(**row) for row in rows.to_pylist()]


def write_items(path: Place, runs: Iterable[tuple[Shard, list[Item]]]) -> tuple[list[Shard], str]:
    """Write the items of shards as one plan file; the shards, and the sha256 of the rows."""
    digest = hashlib.sha256()
    shards: list[Shard] = []
    with atomic_file(path) as file, pq.ParquetWriter(file, _SCHEMA) as writer:
        for shard, items in runs:
            rows = [{"shard": shard.number, "index": i, **_fields(item)} for i, item in enumerate(items)]
            digest.update(repr([list(row.items()) for row in rows]).encode())
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
            shards.append(shard)
    return shards, digest.hexdigest()


def save_plan(plan: Plan) -> None:
    """Write `plan.json`, which makes the plan valid."""
    write_json(plan.folder / "plan.json", {**asdict(plan), "folder": None})


def load_plan(folder: Place) -> Plan:
    """Read the plan that `make_plan` wrote."""
    stored = parse_json((folder / "plan.json").read_bytes())
    shards = tuple(Shard(**shard) for shard in stored["shards"])
    return Plan(**{**stored, "folder": folder, "shards": shards, "source": Inputs(**stored["source"])})


def out_name(item: Item, shard: Shard, settings: Settings, kind: SourceKind) -> str:
    """The name of a texture: path below DST, percent-escaped, or `tar::member`."""
    if settings.format == "webdataset":
        extension = f"texture.{settings.encoding}" if settings.layout == "paired" else settings.encoding
        return f"{shard.tar}::{hide_dots(item.key)}.{extension}"
    if kind == "folder":
        path = item.key
    else:
        filed = item.label is None or "/" in item.key
        path = str(PurePosixPath(escape(item.key if filed else f"{item.label}/{item.key}")))
    return f"{item.split}/{path}.{settings.suffix}" if item.split else f"{path}.{settings.suffix}"


def output_names(plan: Plan, shard: Shard, settings: Settings) -> list[str]:
    """Every file below DST that a shard may make, percent-escaped."""
    if shard.tar:
        return [shard.tar]
    return [out_name(item, shard, settings, plan.source.kind) for item in read_items(plan.folder, shard)]


def list_names(names: list[str]) -> str:
    """Count escaped names and show the first of them."""
    return f"{len(names)} ({', '.join(map(show, names[:SHOWN]))}{', ...' if len(names) > SHOWN else ''})"


def is_drawn(number: int, count: int, total: int) -> bool:
    """True if a number is one of `count` that are spread evenly over 0 ... `total` - 1."""
    return (number + 1) * count // total > number * count // total


def _fields(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in _ITEM_FIELDS}
