"""The samples of a finished run in plan order: each texture as it is stored, alone or beside its image."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath

import pyarrow.parquet as pq

from texneg.datasets.sources.compressed import is_compressed
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import root_of
from texneg.datasets.sources.tars import tar_listings
from texneg.datasets.storage.names import plain_name, show, unescape
from texneg.datasets.storage.places import Place, map_in_order, open_read, parse_place, read_range
from texneg.datasets.storage.retries import with_retries
from texneg.errors import InputError, RunFailed
from texneg.synth.ledger.audit import committed_rows
from texneg.synth.ledger.manifest import Row, Status
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Shard, read_items

ONLY_SPLIT = "train"
"""Name of the split of a run whose images have none: that of other libraries for a set without splits."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An encoded picture: a file, or a span of a tar."""

    name: str
    """Unique in its split, escaped; ends in the suffix of its format."""
    place: Place
    offset: int
    size: int
    sha256: bytes

    def read(self) -> bytes:
        """Read the bytes.

        Raises:
            RunFailed: they are not those of the manifest.
            OSError: they cannot be read.
        """
        data = with_retries(lambda: read_range(self.place, self.offset, self.size))
        if sha256(data).digest() != self.sha256:
            raise RunFailed(
                f"{self.place}: {show(self.name)} is not as the manifest of the run has it; texneg verify"
                " names everything that has changed, and how to mend it"
            )
        return data


@dataclass(frozen=True, slots=True)
class Sample:
    """One image's texture and class, and the image where pairs are exported."""

    key: str
    label: str | None
    texture: StoredFile
    image: StoredFile | None

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """The texture, then the image if there is one."""
        return (self.texture,) if self.image is None else (self.texture, self.image)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.files)


Loaded = tuple[Sample, bytes, bytes | None]
"""A sample with the bytes of its texture and of its image."""


@dataclass(frozen=True)
class Survey:
    """The samples of a run in numbers, counted before any is copied."""

    counts: dict[str, int]
    """Samples by split, in the order of the plan."""
    sizes: dict[str, int]
    """Bytes of their files by split."""
    classes: tuple[str, ...]
    """Class names: sorted by number where all are numbers, else by text. Empty without labels."""
    statuses: dict[Status, int]
    """Inputs by status."""
    formats: dict[str, int]
    """Images by the format of their files."""

    @property
    def samples(self) -> int:
        """Samples of all splits."""
        return sum(self.counts.values())


def survey_run(run: Run, *, images: bool) -> Survey:
    """Count the samples of a run by its manifest, a row group at a time.

    Args:
        run: finished.
        images: the images are exported, too.
    """
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    statuses: dict[Status, int] = {}
    formats: dict[str, int] = {}
    labels: set[str] = set()
    columns = ["split", "label", "status", "out_bytes", "src_bytes", "format"]
    with open_read(run.ledger.manifest) as stream, pq.ParquetFile(stream) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=columns).to_pydict()
            for split, label, status, out, src, form in zip(*(table[name] for name in columns), strict=True):
                statuses[Status(status)] = statuses.get(Status(status), 0) + 1
                if status != Status.OK:
                    continue
                counts[split] = counts.get(split, 0) + 1
                sizes[split] = sizes.get(split, 0) + out + (src if images else 0)
                formats[form] = formats.get(form, 0) + 1
                if label is not None:
                    labels.add(label)
    numbers = all(label.isdecimal() for label in labels)
    classes = tuple(sorted(labels, key=lambda label: (int(label) if numbers else 0, label)))
    return Survey(counts, sizes, classes, dict(sorted(statuses.items())), dict(sorted(formats.items())))


def iterate_samples(run: Run, split: str, images: str | None, *, paired: bool) -> Iterator[Sample]:
    """Iterate over the samples of a split, holding the rows of one shard at a time.

    Args:
        run: finished.
        split: as in the plan.
        images: the images that the textures were made of; None to leave them out, or if paired.
        paired: the images lie beside their textures in the run's tars.

    Raises:
        RunFailed: outputs or rows are missing.
        InputError: the images cannot be read one by one.
    """
    shards = [shard for shard in run.plan.shards if shard.split == split]
    for shard in shards:
        rows = _read_rows(run, shard)
        found: list[StoredFile | None] = [None] * len(rows)
        if paired:
            found = list(_images_in_tar(run, shard, rows))
        elif images is not None:
            items = read_items(run.plan.folder, shard)
            found = [_image_in_source(images, item, row) for item, row in zip(items, rows, strict=True)]
        for row, image in zip(rows, found, strict=True):
            if row.ok:
                yield Sample(plain_name(row.key) or row.key, row.label, _texture(run, row), image)


def load_samples(samples: list[Sample]) -> Iterator[Loaded]:
    """Read the files of samples in order, a few ahead of the caller."""
    return map_in_order(_load, samples, threads=4, ahead=16)


def _load(sample: Sample) -> Loaded:
    return sample, sample.texture.read(), None if sample.image is None else sample.image.read()


def _read_rows(run: Run, shard: Shard) -> list[Row]:
    commit = run.ledger.commit(shard)
    rows = None if commit is None else committed_rows(run.ledger, shard, commit)
    if rows is None:
        raise RunFailed(
            f"outputs of shard {shard.id} are gone from {run.ledger.dst} or its ledger;"
            " run the command of texneg synth again, then this one"
        )
    return rows


def _texture(run: Run, row: Row) -> StoredFile:
    file = unescape((row.out or "").partition("::")[0])
    size, digest = row.out_bytes or 0, row.out_sha256 or b""
    return StoredFile(_name_texture(row), run.ledger.dst / file, row.out_offset or 0, size, digest)


def _name_texture(row: Row) -> str:
    """Name of a texture below its split: the file's, or that of its tar without suffix, then the member's."""
    tar, mark, member = (row.out or "").partition("::")
    tar = tar.removeprefix(f"{row.split}/") if row.split else tar
    if not mark:
        return tar
    return f"{PurePosixPath(tar).with_suffix('')}/{member}".replace(".texture.", ".")


def _name_image(row: Row, suffix: str) -> str:
    return f"{PurePosixPath(_name_texture(row)).with_suffix('')}{suffix.lower()}"


def _images_in_tar(run: Run, shard: Shard, rows: list[Row]) -> Iterator[StoredFile | None]:
    """The images of a paired tar, in the order of the rows."""
    if not any(row.ok for row in rows):
        yield from [None] * len(rows)
        return
    arrays = run.settings.pixels is not None
    (listing,) = tar_listings(run.ledger.dst, shard.split, [unescape(shard.tar)], arrays=arrays)
    place = run.ledger.dst / unescape(shard.tar)
    items = iter(listing.items)
    for row in rows:
        if not row.ok:
            yield None
            continue
        item = next(items, None)
        if item is None:
            raise RunFailed(
                f"{place} does not hold the image of {show(row.key)}; texneg verify names everything that has"
                " changed, and how to mend it"
            )
        suffix = PurePosixPath(item.member).suffix
        yield StoredFile(_name_image(row, suffix), place, item.offset, item.size, row.src_sha256 or b"")


def _image_in_source(images: str, item: Item, row: Row) -> StoredFile | None:
    if not row.ok:
        return None
    if item.member and is_compressed(unescape(item.path)):
        raise InputError(
            f"{item.path} is compressed, so that no image can be read by itself: decompress it, or export"
            " a run with --layout paired"
        )
    suffix = PurePosixPath(unescape(item.member or item.path)).suffix
    place = root_of(parse_place(images)) / unescape(item.path)
    return StoredFile(_name_image(row, suffix), place, item.offset, item.size, row.src_sha256 or b"")
