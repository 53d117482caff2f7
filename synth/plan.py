"""The frozen plan: which image belongs to which shard, decided once, before the first texture is made."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from math import ceil
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from texneg.datasets.atomic import atomic_file, write_json
from texneg.datasets.item import Item
from texneg.datasets.names import escape, hide_dots
from texneg.datasets.packed import is_packed, tar_name
from texneg.datasets.sources import Source
from texneg.datasets.store import Place, open_read
from texneg.errors import InputError
from texneg.synth.settings import Settings

NO_SPLIT = "all"
TASKS_PER_CORE = 4
SMALLEST_PART, LARGEST_PART = 16, 1000

_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("index", pa.int32()),
        *((field.name, pa.int64() if field.type is int else pa.string()) for field in fields(Item)),
    ]
)


_ITEM_FIELDS = tuple(field.name for field in fields(Item))


@dataclass(frozen=True, slots=True)
class Shard:
    """The unit of commit: a run of images, and the output tar they go to."""

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
    """Whether one task makes it all, because its input is a stream."""

    @property
    def id(self) -> str:
        """`train/000/000123`: where the shard's files lie in the ledger."""
        return f"{self.split or NO_SPLIT}/{self.number // 1000:03d}/{self.number:06d}"


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
    source: dict[str, Any]
    """Kind of the input, what was skipped, which tars break off; class folders where they are numbered."""
    files: int = 1
    """Plan files: one, and one for each extension."""

    def parts(self, shard: Shard) -> int:
        """Number of tasks that make a shard."""
        return 1 if shard.whole else ceil(shard.n / self.part_size)


def plan_file(folder: Place, number: int) -> Place:
    """A table of the plan: one row group per shard."""
    return folder / f"part-{number:05d}.parquet"


def read_items(folder: Place, shard: Shard, start: int = 0, stop: int | None = None) -> list[Item]:
    """Images `start` to `stop` of a shard."""
    with open_read(plan_file(folder, shard.file)) as stream, pq.ParquetFile(stream) as file:
        table = file.read_row_group(shard.row_group, columns=list(_ITEM_FIELDS))
    rows = table.slice(start, None if stop is None else stop - start)
    return [Item(**row) for row in rows.to_pylist()]


def input_bytes(plan: Plan) -> int:
    """Size of all images of a plan."""
    total = 0
    for number in range(plan.files):
        with open_read(plan_file(plan.folder, number)) as stream:
            total += sum(pq.read_table(stream, columns=["size"])["size"].to_pylist())
    return total


def make_plan(
    source: Source, settings: Settings, folder: Place, *, cores: int, part_size: int | None, shard_size: int
) -> Plan:
    """Scan the source and write the plan into `folder`, `plan.json` last.

    Args:
        source: the inputs.
        settings: of the run.
        folder: of the ledger.
        cores: part size is chosen so that each gets a few tasks.
        part_size: overrides that choice.
        shard_size: images of a shard; an input tar is one shard whatever its size.

    Raises:
        InputError: no images, or two of them would get one output name.
    """
    runs = cut_in_shards(_limited(source, settings.limit), source, settings, shard_size)
    shards, digest = write_items(plan_file(folder, 0), runs)
    images = sum(shard.n for shard in shards)
    if not images:
        raise InputError(f"{source.root} holds no images to make textures of{_why_none(source)}")
    spread = ceil(images / (TASKS_PER_CORE * cores))
    plan = Plan(
        folder=folder,
        shards=tuple(shards),
        part_size=part_size or min(max(spread, SMALLEST_PART), LARGEST_PART),
        images=images,
        digest=digest,
        source={
            "kind": source.kind,
            "skipped": dict(sorted(source.skipped.items())),
            "broken": list(source.broken),
            "classes": source.classes() if settings.layout == "paired" else [],
        },
    )
    save_plan(plan)
    return plan


def write_items(path: Place, runs: Iterable[tuple[Shard, list[Item]]]) -> tuple[list[Shard], str]:
    """Write the items of some shards as one plan file; the shards, and the sha256 of the rows."""
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
    """Write `plan.json`, after which the plan is in force."""
    write_json(plan.folder / "plan.json", {**asdict(plan), "folder": None})


def load_plan(folder: Place) -> Plan:
    """The plan that `make_plan` wrote."""
    stored = json.loads((folder / "plan.json").read_bytes())
    shards = tuple(Shard(**shard) for shard in stored.pop("shards"))
    return Plan(**{**stored, "folder": folder, "shards": shards})


def out_name(item: Item, shard: Shard, settings: Settings, kind: str) -> str:
    """Where a texture goes: path below DST, percent-escaped, or `tar::member`."""
    if settings.format == "webdataset":
        extension = f"texture.{settings.encoding}" if settings.layout == "paired" else settings.encoding
        return f"{shard.tar}::{hide_dots(item.key)}.{extension}"
    if kind == "folder":
        path = item.key
    else:
        filed = item.label is None or "/" in item.key
        path = escape(item.key if filed else f"{item.label}/{item.key}")
    return f"{item.split}/{path}.{settings.encoding}" if item.split else f"{path}.{settings.encoding}"


def output_names(plan: Plan, shard: Shard, settings: Settings) -> list[str]:
    """Every file below DST that a shard may make, percent-escaped."""
    if shard.tar:
        return [shard.tar]
    kind = plan.source["kind"]
    return [out_name(item, shard, settings, kind) for item in read_items(plan.folder, shard)]


def _fields(item: Item) -> dict[str, Any]:
    return {name: getattr(item, name) for name in _ITEM_FIELDS}


def _why_none(source: Source) -> str:
    seen = [f"{count} x {reason}" for reason, count in sorted(source.skipped.items())] + source.broken
    return f" (passed over: {'; '.join(seen)})" if seen else ""


def _limited(source: Source, limit: int | None) -> Iterator[Item]:
    """All items, or `limit` of them spread evenly."""
    if limit is None:
        yield from source.items(unique=True)
        return
    total = sum(1 for _ in source.items())
    for i, item in enumerate(source.items(unique=True)):
        if (i + 1) * limit // total > i * limit // total:
            yield item


def cut_in_shards(
    items: Iterable[Item],
    source: Source,
    settings: Settings,
    shard_size: int,
    *,
    file: int = 0,
    first: Mapping[str, int] | None = None,
    outputs: Iterable[str] = (),
) -> Iterator[tuple[Shard, list[Item]]]:
    """Items in runs: of one split and `shard_size`, or of one input tar.

    Args:
        items: in plan order.
        source: where they are from.
        settings: of the run.
        shard_size: most items of a shard that is no tar.
        file: number of the plan file.
        first: number of the first shard by split, for an extension.
        outputs: names that an extended run has given away.

    Raises:
        InputError: two tars would write one file.
    """
    whole_tars = source.kind == "webdataset"
    outputs = set(outputs)
    by_size = partial(_by_size, size=shard_size)
    row_group = 0
    for split, of_split in itertools.groupby(items, key=lambda item: item.split):
        begin = (first or {}).get(split, 0)
        for number, run in enumerate((_by_tar if whole_tars else by_size)(of_split), begin):
            name = run[0].path if whole_tars else _tar_name(split, number)
            tar = tar_name(name) if settings.format == "webdataset" else ""
            whole = whole_tars and is_packed(name)
            shard = Shard(split, number, row_group, len(run), tar, file, whole)
            if whole_tars and not tar:
                _claim_all(outputs, run, shard, settings, source.kind)
            row_group += 1
            yield shard, run


def _by_tar(items: Iterator[Item]) -> Iterator[list[Item]]:
    return (list(run) for _, run in itertools.groupby(items, key=lambda item: item.path))


def _by_size(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while run := list(itertools.islice(items, size)):
        yield run


def _tar_name(split: str, number: int) -> str:
    return f"{split}/texneg-{split}-{number:06d}.tar" if split else f"texneg-{number:06d}.tar"


def _claim_all(taken: set[str], items: list[Item], shard: Shard, settings: Settings, kind: str) -> None:
    """Two tars may hold one key; as files in a folder they would overwrite each other."""
    for item in items:
        out = out_name(item, shard, settings, kind)
        if not item.status and out in taken:
            raise InputError(
                f"{out} would be written by more than one tar (last: {item.src}):"
                " use --format webdataset, or make the keys unique"
            )
        taken.add(out)
