"""Cut the inputs into shards: a fixed number of images, or an input tar at a time."""

import ctypes
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import PurePosixPath

import pyarrow as pa

from texneg.datasets.sources.compressed import is_compressed, plain_tar_name
from texneg.datasets.sources.folders import TEXTURE_SUFFIXES, fold_name
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source, SourceKind
from texneg.datasets.storage.places import Place
from texneg.errors import InputError
from texneg.synth.plan.plan import (
    Inputs,
    Plan,
    Settings,
    Shard,
    is_drawn,
    out_name,
    plan_file,
    save_plan,
    write_items,
)

TASKS_PER_CORE = 8  # the last ones end at about the same time
SMALLEST_PART, LARGEST_PART = 32, 1000
LARGEST_PART_BYTES = 256 * 2**20


def make_plan(
    source: Source, settings: Settings, folder: Place, *, cores: int, part_size: int | None, shard_size: int
) -> Plan:
    """Scan the source and write the plan into `folder`, `plan.json` last.

    Args:
        source: the inputs.
        settings: of the run.
        folder: of the plan.
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
    plan = Plan(
        folder=folder,
        shards=tuple(shards),
        part_size=part_size or 1,
        images=images,
        digest=digest,
        source=describe(source, source.classes() if settings.layout == "paired" else []),
    )
    if part_size is None:
        plan = replace(plan, part_size=_part_size(plan, settings, cores))
    save_plan(plan)
    trim_heap()
    return plan


def describe(source: Source, classes: list[str]) -> Inputs:
    """The source as its last walk found it."""
    counts, first = source.passed_over.counts, source.passed_over.first
    skipped = dict(sorted(counts.items()))
    return Inputs(source.kind, skipped, list(source.broken), classes, dict(sorted(first.items())))


def trim_heap() -> None:
    """Return freed memory to the system, which allocators would otherwise keep for the whole run."""
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _part_size(plan: Plan, settings: Settings, cores: int) -> int:
    """Images of a task: a few tasks a core, none larger than a worker can comfortably hold."""
    spread = ceil(plan.images / (TASKS_PER_CORE * cores))
    held = 3 * settings.size**2  # pixels; their lossless file is smaller
    if settings.layout == "paired":
        held += plan.input_bytes // plan.images
    return max(1, min(max(spread, SMALLEST_PART), LARGEST_PART, LARGEST_PART_BYTES // held))


def _why_none(source: Source) -> str:
    seen = source.passed_over.lines() + source.broken
    return f" (passed over: {'; '.join(seen)})" if seen else ""


def _limited(source: Source, limit: int | None) -> Iterator[Item]:
    """All items, or `limit` of them spread evenly."""
    if limit is None:
        yield from source.items(unique=True)
        return
    total = sum(1 for _ in source.items())
    for i, item in enumerate(source.items(unique=True)):
        if is_drawn(i, limit, total):
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
    """Cut the items into shards: `shard_size` items of one split, or one input tar.

    Args:
        items: in plan order.
        source: of the items.
        settings: of the run.
        shard_size: most items of a shard that is no tar.
        file: number of the plan file.
        first: number of the first shard by split, for an extension.
        outputs: names that the shards before an extension have taken.

    Raises:
        InputError: two tars would write one file.
    """
    whole_tars = source.kind == "webdataset"
    taken = {name for out in outputs for name in _claims(out)}
    by_size = partial(_by_size, size=shard_size)
    row_group = 0
    numbers = Counter(first)
    for split, of_split in itertools.groupby(items, key=lambda item: item.split):
        for group in (_by_tar if whole_tars else by_size)(of_split):
            number = numbers[split]
            numbers[split] += 1
            name = group[0].path if whole_tars else _tar_name(split, number)
            tar = plain_tar_name(name) if settings.format == "webdataset" else ""
            whole = whole_tars and is_compressed(name)
            shard = Shard(split, number, row_group, len(group), tar, file, whole)
            if whole_tars and not tar:
                _claim_all(taken, group, shard, settings, source.kind)
            row_group += 1
            yield shard, group


def _by_tar(items: Iterator[Item]) -> Iterator[list[Item]]:
    return (list(group) for _, group in itertools.groupby(items, key=lambda item: item.path))


def _by_size(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while group := list(itertools.islice(items, size)):
        yield group


def _tar_name(split: str, number: int) -> str:
    return f"{split}/texneg-{split}-{number:06d}.tar" if split else f"texneg-{number:06d}.tar"


def _claim_all(
    taken: set[str], items: list[Item], shard: Shard, settings: Settings, kind: SourceKind
) -> None:
    """Take the names of a shard's textures; two tars may hold one key, or one tar two that differ by case.

    Raises:
        InputError: another texture would have the same file.
    """
    for item in items:
        if item.status:
            continue
        out = out_name(item, shard, settings, kind)
        name, *above = _claims(out)
        if name in taken or f"{name}/" in taken or any(folder[:-1] in taken for folder in above):
            raise InputError(
                f"{out} would be written more than once on some file systems (last: {item.src}):"
                " use --format webdataset, or make the keys unique"
            )
        taken.update((name, *above))


def _claims(out: str) -> list[str]:
    """The folded name of an output file, and with a slash those folders above it that look like a texture."""
    name = fold_name(out)
    folders = PurePosixPath(name).parents if any(f"{suffix}/" in name for suffix in TEXTURE_SUFFIXES) else ()
    return [name, *(f"{folder}/" for folder in folders if folder.name.endswith(TEXTURE_SUFFIXES))]
